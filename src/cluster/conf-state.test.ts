import { deepEqual, equal } from "node:assert/strict";
import { test } from "node:test";
import { formatConfState, parseConfState, simpleConfState } from "./conf-state.ts";

const parse = (text: string) => parseConfState(new TextEncoder().encode(text));

test("etcd's JSON: bare 64-bit ids, empty lists left out, auto_leave always there", () => {
  equal(
    formatConfState(simpleConfState([2n, 0xffff_ffff_ffff_ffffn], [])),
    '{"voters":[2,18446744073709551615],"auto_leave":false}',
  );
  equal(formatConfState(simpleConfState([2n], [7n])), '{"voters":[2],"learners":[7],"auto_leave":false}');
});

test("all fields are read back, absent ones as empty", () => {
  const joint = {
    voters: [1n, 18446744073709551615n],
    learners: [3n],
    votersOutgoing: [1n, 2n],
    learnersNext: [2n],
    autoLeave: true,
  };
  deepEqual(parse(formatConfState(joint)), joint);
  deepEqual(parse('{"auto_leave":false}'), simpleConfState([], []));
});
