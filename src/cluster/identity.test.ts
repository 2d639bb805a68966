import { test } from "node:test";
import { equal } from "node:assert/strict";
import { createHash } from "node:crypto";
import { clusterId, formatId, memberId } from "./identity.ts";

const sha1 = (bytes: Uint8Array): Uint8Array => createHash("sha1").update(bytes).digest();

// interop.md, appendix E: computed by a real etcd.
test("ids of a one-member cluster", () => {
  const id = memberId(["http://127.0.0.1:43380"], "tok-x", "", sha1);
  equal(formatId(id), "af277c1dfad997d2");
  equal(formatId(clusterId([id], sha1)), "7fba5cedf14096ef");
});

test("ids of a two-member cluster, whatever the order", () => {
  const a = memberId(["http://127.0.0.1:43380"], "tok-z", "", sha1);
  const b = memberId(["http://127.0.0.1:43390"], "tok-z", "", sha1);
  equal(formatId(a), "b8ea37086f531138");
  equal(formatId(b), "2bbe8b54d6a7a1d7");
  equal(formatId(clusterId([a, b], sha1)), "b48276a6c1cdda46");
  equal(formatId(clusterId([b, a], sha1)), "b48276a6c1cdda46");
});
