/** What went wrong with a file, in the words of Go's os package. */
import { getSystemErrorMessage } from "node:util";

/** `open /x: no such file or directory` */
export function fileErrorText(error: unknown): string {
  const { syscall, path, errno } = error as NodeJS.ErrnoException;
  if (errno === undefined) return (error as Error).message;
  const subject = [syscall, path].filter((part) => part !== undefined).join(" ");
  const reason = getSystemErrorMessage(errno);
  return subject === "" ? reason : `${subject}: ${reason}`;
}
