/**
 * Huffman coding of header strings (RFC 7541 section 5.2 and appendix B). The code is canonical: within a length, codes
 * ascend with the symbol, so the lengths alone determine it. Decoding walks a table four bits a step.
 */

/** Bits of each symbol's code; the last is EOS. */
// oxfmt-ignore
const CODE_BITS = [
  13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28,
  28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
  6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
  5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
  13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
  7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
  15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5,
  6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
  20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
  24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
  22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23,
  21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
  26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25,
  19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
  20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
  26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
  30,
];

const EOS = 256;

/** Table entry: next state in the low 9 bits, the symbol in the next 8, then the flags. */
const EMIT = 1 << 17;
const FAIL = 1 << 18;

const CODES = assignCodes();
const TREE = buildTree();
const STEPS = buildSteps();

/** The canonical code of each symbol, right-aligned. */
function assignCodes(): Uint32Array {
  const codes = new Uint32Array(CODE_BITS.length);
  let code = 0;
  for (let bits = 1; bits <= 30; bits++) {
    code *= 2;
    for (let symbol = 0; symbol < CODE_BITS.length; symbol++) {
      if (CODE_BITS[symbol] === bits) codes[symbol] = code++;
    }
  }
  return codes;
}

interface Tree {
  /** Two a node: >= 0 is an inner node, below it `-1 - symbol`. */
  readonly children: Int16Array;
  /** 1 for the nodes at which a string may end: at most 7 bits of ones since the last symbol. */
  readonly accepting: Uint8Array;
}

function buildTree(): Tree {
  const children = new Int16Array(512);
  let nodes = 1;
  for (let symbol = 0; symbol < CODE_BITS.length; symbol++) {
    let node = 0;
    for (let bit = CODE_BITS[symbol] - 1; bit > 0; bit--) {
      const slot = node * 2 + ((CODES[symbol] >>> bit) & 1);
      if (children[slot] === 0) children[slot] = nodes++;
      node = children[slot];
    }
    children[node * 2 + (CODES[symbol] & 1)] = -1 - symbol;
  }
  const accepting = new Uint8Array(256);
  for (let ones = 0, node = 0; ones <= 7; ones++) {
    accepting[node] = 1;
    node = children[node * 2 + 1];
  }
  return { children, accepting };
}

function buildSteps(): Uint32Array {
  const steps = new Uint32Array(256 * 16);
  for (let state = 0; state < 256; state++) {
    for (let nibble = 0; nibble < 16; nibble++) steps[state * 16 + nibble] = step(state, nibble);
  }
  return steps;
}

/** Where four bits lead from a node. The shortest code has 5 bits, so at most one symbol ends here. */
function step(state: number, nibble: number): number {
  let emitted = 0;
  let node = state;
  for (let bit = 3; bit >= 0; bit--) {
    const next = TREE.children[node * 2 + ((nibble >>> bit) & 1)];
    if (next >= 0) {
      node = next;
    } else if (-1 - next === EOS) {
      return FAIL;
    } else {
      emitted = EMIT | ((-1 - next) << 9);
      node = 0;
    }
  }
  return emitted | node;
}

/**
 * Decodes `bytes[start, end)` into `target` at 0 and returns how many bytes came out, or -1 when the code is wrong (EOS inside,
 * padding too long or not all ones) or `target` is too short.
 */
export function huffmanDecode(bytes: Uint8Array, start: number, end: number, target: Uint8Array): number {
  let state = 0;
  let length = 0;
  // 8 bits give at most 2 symbols, but 5 bits are the shortest code: 8/5 of the input is the most there can be.
  if (((end - start) * 8) / 5 > target.length) return -1;
  for (let i = start; i < end; i++) {
    let entry = STEPS[(state << 4) | (bytes[i] >>> 4)];
    if ((entry & (EMIT | FAIL)) !== 0) {
      if ((entry & FAIL) !== 0) return -1;
      target[length++] = entry >>> 9;
    }
    entry = STEPS[((entry & 0x1ff) << 4) | (bytes[i] & 15)];
    if ((entry & (EMIT | FAIL)) !== 0) {
      if ((entry & FAIL) !== 0) return -1;
      target[length++] = entry >>> 9;
    }
    state = entry & 0x1ff;
  }
  return TREE.accepting[state] === 1 ? length : -1;
}

/** Bytes that {@link huffmanEncode} writes for `text` (code points below 256). */
export function huffmanBytes(text: string): number {
  let bits = 0;
  for (let i = 0; i < text.length; i++) bits += CODE_BITS[text.charCodeAt(i) & 0xff];
  return (bits + 7) >>> 3;
}

/** Encodes `text` (code points below 256) at `offset`; returns the offset behind it. */
export function huffmanEncode(text: string, target: Uint8Array, offset: number): number {
  let held = 0;
  let heldBits = 0;
  for (let i = 0; i < text.length; i++) {
    const symbol = text.charCodeAt(i) & 0xff;
    for (let bit = CODE_BITS[symbol] - 1; bit >= 0; bit--) {
      held = (held << 1) | ((CODES[symbol] >>> bit) & 1);
      if (++heldBits === 8) {
        target[offset++] = held;
        held = 0;
        heldBits = 0;
      }
    }
  }
  if (heldBits > 0) target[offset++] = (held << (8 - heldBits)) | (0xff >>> heldBits);
  return offset;
}
