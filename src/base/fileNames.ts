import { isUtf8 } from 'node:buffer'

/*
 * A file name is bytes; a string is not. Names that are UTF-8 become ordinary strings; a byte that
 * is not part of valid UTF-8 becomes the lone surrogate U+DC80 + (byte - 0x80), as PEP 383 does, so
 * that every name survives the way there and back.
 */

const ESCAPE_BASE = 0xdc00

/** Decodes the bytes of a file name; lossless for any bytes. */
export function decodeFileName(bytes: Uint8Array): string {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (isUtf8(buffer)) return buffer.toString('utf8')
  let text = ''
  let at = 0
  while (at < buffer.length) {
    const length = sequenceLength(buffer, at)
    if (length === 0) {
      text += String.fromCharCode(ESCAPE_BASE + buffer[at]!)
      at += 1
    } else {
      text += buffer.toString('utf8', at, at + length)
      at += length
    }
  }
  return text
}

/** The length of the valid UTF-8 sequence at `at`, or 0. */
function sequenceLength(bytes: Buffer, at: number): number {
  for (let length = 1; length <= 4 && at + length <= bytes.length; length += 1) {
    if (isUtf8(bytes.subarray(at, at + length))) return length
  }
  return 0
}

/** Encodes a file name that `decodeFileName` made, or any ordinary string. */
export function encodeFileName(name: string): Buffer {
  if (name.isWellFormed()) return Buffer.from(name, 'utf8')
  const parts: Buffer[] = []
  for (const char of name) {
    const code = char.charCodeAt(0)
    const escaped = char.length === 1 && code >= ESCAPE_BASE + 0x80 && code <= ESCAPE_BASE + 0xff
    parts.push(escaped ? Buffer.of(code - ESCAPE_BASE) : Buffer.from(char, 'utf8'))
  }
  return Buffer.concat(parts)
}

/** Orders names by their bytes, as C's strcmp does; UTF-16 order differs above U+FFFF. */
export function compareFileNames(a: string, b: string): number {
  if (a === b) return 0
  return Buffer.compare(encodeFileName(a), encodeFileName(b))
}
