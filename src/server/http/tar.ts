/** Several files in one answer: a tar archive (POSIX ustar), which every system opens. */

const BLOCK_BYTES = 512;
/** What the name's field of the header holds. */
const NAME_BYTES_MAX = 100;

/** A file of an archive. */
export interface TarFile {
  /** At most 100 bytes of ASCII. */
  readonly name: string;
  readonly bytes: Uint8Array;
}

/** Packs `files`, all as of `unixMs`; the pieces of the archive in their order. */
export function packTar(files: readonly TarFile[], unixMs: number): Uint8Array[] {
  const pieces: Uint8Array[] = [];
  for (const { name, bytes } of files) {
    pieces.push(header(name, bytes.length, unixMs), bytes);
    const beyond = bytes.length % BLOCK_BYTES;
    if (beyond > 0) pieces.push(Buffer.alloc(BLOCK_BYTES - beyond));
  }
  pieces.push(Buffer.alloc(2 * BLOCK_BYTES));
  return pieces;
}

function header(name: string, length: number, unixMs: number): Buffer {
  if (name.length > NAME_BYTES_MAX) throw new RangeError(`the name ${name} is too long for an archive`);
  const block = Buffer.alloc(BLOCK_BYTES);
  const octal = (value: number, at: number, digits: number): void => {
    block.write(value.toString(8).padStart(digits, "0"), at, "latin1");
  };
  block.write(name, 0, "latin1");
  octal(0o600, 100, 7);
  octal(0, 108, 7);
  octal(0, 116, 7);
  octal(length, 124, 11);
  octal(Math.floor(unixMs / 1000), 136, 11);
  block.fill(" ", 148, 156);
  block.write("0", 156, "latin1");
  block.write("ustar\x0000", 257, "latin1");
  let sum = 0;
  for (const byte of block) sum += byte;
  octal(sum, 148, 6);
  block[154] = 0;
  return block;
}
