import { closeSync, openSync, writeSync } from 'node:fs'
import { constants, zstdCompressSync } from 'node:zlib'

/*
 * What a layer tar has besides the files that are in its tree ("tar-split"): headers, padding, end
 * marker and whatever follows, and payload that the tree does not have. With the tree and this file
 * `rebuildTar` makes the exact tar again.
 *
 *   magic     8 bytes
 *   frames    zstd, one after the other; two kinds, see FrameKind
 *   table     per frame: kind u8, position f64, stored bytes u32, plain bytes u32, tar offset f64
 *   footer    frames in the table u32, magic
 *
 * A `script` frame is a sequence of steps, continued by the next script frame: step u8, length f64, and for `bytes` that many bytes.
 * A `payload` frame holds bytes of the tar at the given offset, which are in no file of the tree.
 */

export const HEADERS_MAGIC = 'STRATATS'
export const FRAME_SCRIPT = 0
export const FRAME_PAYLOAD = 1
export const TABLE_ENTRY_BYTES = 25
export const FOOTER_BYTES = 12

export const STEP_BYTES = 0
export const STEP_ZEROS = 1
export const STEP_PAYLOAD = 2
export const STEP_HEAD_BYTES = 9

const FRAME_BYTES = 512 * 1024
const ZEROS = Buffer.alloc(FRAME_BYTES)
/** Headers repeat themselves so much that more effort gains little. */
const LEVEL = 1

interface Frame {
  readonly kind: number
  readonly position: number
  readonly stored: number
  readonly plain: number
  readonly tarOffset: number
}

/** Writes the file while a tar goes by. Synchronous, as the parser is. */
export class TarHeadersWriter {
  readonly #fd: number
  readonly #frames: Frame[] = []
  #position = 0
  #script = Buffer.alloc(FRAME_BYTES + STEP_HEAD_BYTES)
  #filled = 0
  #payload = 0

  /** @param path a file that does not exist */
  constructor(path: string) {
    this.#fd = openSync(path, 'wx', 0o600)
    this.#write(Buffer.from(HEADERS_MAGIC, 'latin1'))
  }

  /** Bytes of the tar that are no payload, in the order of the tar. */
  raw(chunk: Uint8Array): void {
    this.#endPayload()
    if (chunk.length <= ZEROS.length && ZEROS.compare(chunk, 0, chunk.length, 0, chunk.length) === 0) {
      this.#step(STEP_ZEROS, chunk.length)
      return
    }
    for (let at = 0; at < chunk.length; at += FRAME_BYTES) {
      const piece = chunk.subarray(at, at + FRAME_BYTES)
      this.#step(STEP_BYTES, piece.length)
      if (this.#filled + piece.length > this.#script.length) this.#flush()
      this.#script.set(piece, this.#filled)
      this.#filled += piece.length
    }
  }

  /** Payload goes by, in the order of the tar. */
  payload(bytes: number): void {
    this.#payload += bytes
  }

  /** Keeps payload that the tree does not have (any more). At any time, in any order. */
  keep(tarOffset: number, chunk: Uint8Array): void {
    for (let at = 0; at < chunk.length; at += FRAME_BYTES) {
      this.#frame(FRAME_PAYLOAD, chunk.subarray(at, at + FRAME_BYTES), tarOffset + at)
    }
  }

  /** Completes the file and closes it. */
  finish(): void {
    this.#endPayload()
    this.#flush()
    const table = Buffer.alloc(this.#frames.length * TABLE_ENTRY_BYTES + FOOTER_BYTES)
    for (const [i, frame] of this.#frames.entries()) {
      const at = i * TABLE_ENTRY_BYTES
      table.writeUInt8(frame.kind, at)
      table.writeDoubleLE(frame.position, at + 1)
      table.writeUInt32LE(frame.stored, at + 9)
      table.writeUInt32LE(frame.plain, at + 13)
      table.writeDoubleLE(frame.tarOffset, at + 17)
    }
    table.writeUInt32LE(this.#frames.length, table.length - FOOTER_BYTES)
    table.write(HEADERS_MAGIC, table.length - FOOTER_BYTES + 4, 'latin1')
    this.#write(table)
    this.close()
  }

  #closed = false

  close(): void {
    if (this.#closed) return
    this.#closed = true
    closeSync(this.#fd)
  }

  #endPayload(): void {
    if (this.#payload === 0) return
    const bytes = this.#payload
    this.#payload = 0
    this.#step(STEP_PAYLOAD, bytes)
  }

  #step(step: number, length: number): void {
    if (this.#filled + STEP_HEAD_BYTES > this.#script.length) this.#flush()
    this.#script.writeUInt8(step, this.#filled)
    this.#script.writeDoubleLE(length, this.#filled + 1)
    this.#filled += STEP_HEAD_BYTES
  }

  #flush(): void {
    if (this.#filled === 0) return
    this.#frame(FRAME_SCRIPT, this.#script.subarray(0, this.#filled), 0)
    this.#filled = 0
  }

  #frame(kind: number, plain: Uint8Array, tarOffset: number): void {
    const stored = zstdCompressSync(plain, { params: { [constants.ZSTD_c_compressionLevel]: LEVEL } })
    this.#frames.push({ kind, position: this.#position, stored: stored.length, plain: plain.length, tarOffset })
    this.#write(stored)
  }

  #write(bytes: Uint8Array): void {
    for (let done = 0; done < bytes.length;) done += writeSync(this.#fd, bytes, done)
    this.#position += bytes.length
  }
}
