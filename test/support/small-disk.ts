/** Folders that are small file systems of their own, for disks that fill up. Needs root and the right to mount. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { memoryDir, type Cleanup } from "./temp-dir.ts";

/** A folder that is a file system of its own, with so much room; unmounted when the test ends. */
export function smallDisk(t: Cleanup, megabytes: number): string {
  // Clean-ups run in the order of their registration: the folder can be removed once nothing is mounted on it.
  t.after(() => run("umount", ["--lazy", folder]));
  const folder = memoryDir(t, "disk");
  run("mount", ["-t", "tmpfs", "-o", `size=${megabytes}m,mode=700`, "tmpfs", folder]);
  return folder;
}

/** Gives a {@link smallDisk} another size. */
export function resizeDisk(folder: string, megabytes: number): void {
  run("mount", ["-o", `remount,size=${megabytes}m`, folder]);
}

/** Why there can be no small disk here; false if there can. Root in a container may not be allowed to mount. */
export function cannotMount(): string | false {
  if (process.getuid?.() !== 0) return "mounting a small file system needs root";
  const { status } = spawnSync("unshare", ["--mount", "true"]);
  return status === 0 ? false : `root may not mount here (unshare ended with ${status})`;
}

function run(file: string, args: readonly string[]): void {
  const { status, stderr } = spawnSync(file, args, { encoding: "utf8" });
  assert.equal(status, 0, `${file} ${args.join(" ")}: ${stderr}`);
}
