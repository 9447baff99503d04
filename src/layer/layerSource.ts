import { closeSync, openSync, readSync } from 'node:fs'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { CHUNK_BYTES, systemError } from '../base/index.ts'

/** A part of a file, in bytes: `start` (default 0) up to and without `end` (default: the end). */
export interface FileRange {
  readonly path: string
  readonly start?: number
  readonly end?: number
}

/** The file that a thread reads a layer from; plain data. A growing one is read as far as the thread is told. */
export type LayerSource = { readonly range: FileRange } | { readonly growing: string }

/**
 * The bytes of a source. A chunk's memory is used again when the next is asked for.
 *
 * @param sizes how far a growing file may be read, rising
 * @param onRead told how many bytes were taken, piece by piece
 */
export function layerBytes(source: LayerSource, sizes: AsyncIterable<number>, onRead: (bytes: number) => void): AsyncGenerator<Uint8Array> {
  if ('growing' in source) return fileBytes({ path: source.growing }, sizes, onRead)
  return fileBytes(source.range, [source.range.end ?? Infinity], onRead)
}

async function* fileBytes(
  { path, start = 0 }: FileRange,
  ends: Iterable<number> | AsyncIterable<number>,
  onRead: (bytes: number) => void,
): AsyncGenerator<Uint8Array> {
  const buffer = Buffer.allocUnsafeSlow(CHUNK_BYTES)
  const fd = attempt(path, () => openSync(path, 'r'))
  try {
    let at = start
    for await (const end of ends) {
      while (at < end) {
        const length = Math.min(CHUNK_BYTES, end - at)
        const position = at
        const count = attempt(path, () => readSync(fd, buffer, 0, length, position))
        if (count === 0) break
        at += count
        onRead(count)
        yield buffer.subarray(0, count)
        // Whoever wants to stop this thread gets a word in.
        await nextTurn()
      }
    }
  } finally {
    closeSync(fd)
  }
}

function attempt<T>(path: string, work: () => T): T {
  try {
    return work()
  } catch (error) {
    throw systemError(`read "${path}"`, error)
  }
}
