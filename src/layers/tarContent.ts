import { closeSync, openSync } from 'node:fs'
import { type ByteStream, CHUNK_BYTES, fileStream, systemError } from '../base/index.ts'
import { readInto } from '../host/index.ts'
import type { ByteRange, LayerNode } from '../layer/index.ts'

/** So long a descriptor waits for the next file that is read from its tar. */
const IDLE_MILLISECONDS = 500

/**
 * Reads the contents of files from plain layer tars. Whoever reads a layer reads many of its files, so the descriptor of a
 * tar stays open for a moment, and what is small is read at once.
 */
export class TarContents {
  readonly #tars = new Map<string, OpenTar>()

  /** The content of a file of a layer: extents and the zeros between them. */
  async *read(tarPath: string, node: LayerNode, range: ByteRange = {}): AsyncGenerator<Uint8Array, void> {
    const start = Math.min(range.start ?? 0, node.size)
    const end = Math.min(range.end ?? node.size, node.size)
    const extents = node.sparse ?? [{ offset: 0, size: node.size }]
    let stored = node.dataOffset
    let at = start
    for (const extent of extents) {
      const from = Math.max(at, extent.offset)
      const to = Math.min(end, extent.offset + extent.size)
      if (from < to) {
        yield* zeros(from - at)
        const offset = stored + from - extent.offset
        if (to - from <= CHUNK_BYTES) yield this.#part(tarPath, offset, to - from)
        else yield* tarBytes(tarPath, offset, to - from)
        at = to
      }
      stored += extent.size
    }
    if (at < end) yield* zeros(end - at)
  }

  #part(path: string, position: number, length: number): Uint8Array {
    const bytes = Buffer.allocUnsafe(length)
    try {
      const { fd } = this.#open(path)
      let done = 0
      while (done < length) {
        const count = readInto(fd, bytes.subarray(done), position + done)
        if (count === 0) break
        done += count
      }
      return bytes.subarray(0, done)
    } catch (error) {
      throw systemError(`read "${path}"`, error)
    }
  }

  #open(path: string): OpenTar {
    const known = this.#tars.get(path)
    if (known !== undefined) {
      known.used = true
      return known
    }
    const tar: OpenTar = { fd: openSync(path, 'r'), used: false }
    this.#tars.set(path, tar)
    const timer = setInterval(() => {
      if (tar.used) tar.used = false
      else {
        clearInterval(timer)
        this.#tars.delete(path)
        closeSync(tar.fd)
      }
    }, IDLE_MILLISECONDS)
    // A process that has nothing else to do ends.
    timer.unref()
    return tar
  }
}

interface OpenTar {
  readonly fd: number
  /** Since the clock last looked. */
  used: boolean
}

function tarBytes(path: string, start: number, size: number): ByteStream {
  return fileStream(path, { start, end: start + size })
}

function* zeros(count: number): Generator<Uint8Array, void> {
  for (let left = count; left > 0; left -= CHUNK_BYTES) yield Buffer.alloc(Math.min(left, CHUNK_BYTES))
}
