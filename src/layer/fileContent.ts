import { constants, read } from 'node:fs'
import { promisify } from 'node:util'
import { CHUNK_BYTES, StrataError, systemError } from '../base/index.ts'
import { close, CURRENT_DIRECTORY, O_PATH, openAt, openBeneath, readInto, statFd } from '../host/index.ts'
import { quotePath } from './layerPath.ts'
import type { ByteRange } from './tree.ts'

const readAsync = promisify(read)

/**
 * Opens the regular file at exactly this path for reading. Devices, FIFOs and sockets are never
 * opened, not even when one takes the place of a file meanwhile.
 *
 * @param root descriptor of the tree's root
 * @throws StrataError `notFound`, or `invalidArgument` (STRATA_NOT_A_FILE)
 */
export function openRegularFile(root: number, path: string): { fd: number; size: number } {
  try {
    const held = openBeneath(root, path, O_PATH | constants.O_NOFOLLOW)
    try {
      const { type, size } = statFd(held)
      if (type !== 'file') throw new StrataError('invalidArgument', 'STRATA_NOT_A_FILE', `Cannot read ${quotePath(path)}: it is a ${type}`)
      return { fd: openAt(CURRENT_DIRECTORY, `/proc/self/fd/${held}`, constants.O_RDONLY | constants.O_NOCTTY), size }
    } finally {
      close(held)
    }
  } catch (error) {
    throw systemError(`read ${quotePath(path)}`, error)
  }
}

/** Reads a part of a file to the end of the part or of the file, whichever comes first. What is small is read at once. */
export async function* fileContent(root: number, path: string, range: ByteRange = {}): AsyncGenerator<Uint8Array> {
  const { fd, size } = openRegularFile(root, path)
  let pending: Promise<Buffer> | undefined
  try {
    let at = range.start ?? 0
    const end = range.end ?? Infinity
    const left = Math.min(end, size) - at
    if (left <= CHUNK_BYTES) {
      const bytes = readPart(fd, at, Math.max(0, left))
      if (bytes.length > 0) yield bytes
      return
    }
    const next = (): Promise<Buffer> => readChunk(fd, at, Math.min(CHUNK_BYTES, end - at))
    pending = next()
    for (;;) {
      const bytes = await pending
      if (bytes.length === 0) return
      at += bytes.length
      // The disk works while the consumer does.
      pending = next()
      yield bytes
    }
  } catch (error) {
    throw systemError(`read ${quotePath(path)}`, error)
  } finally {
    await pending?.catch(() => undefined)
    close(fd)
  }
}

async function readChunk(fd: number, position: number, length: number): Promise<Buffer> {
  if (length <= 0) return Buffer.alloc(0)
  const { bytesRead, buffer } = await readAsync(fd, Buffer.allocUnsafeSlow(length), 0, length, position)
  return buffer.subarray(0, bytesRead)
}

/** Up to `length` bytes, fewer where the file ends. */
export function readPart(fd: number, position: number, length: number): Buffer {
  const buffer = Buffer.allocUnsafe(length)
  let done = 0
  while (done < length) {
    const count = readInto(fd, buffer.subarray(done), position + done)
    if (count === 0) break
    done += count
  }
  return buffer.subarray(0, done)
}
