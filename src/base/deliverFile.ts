import { createWriteStream, statSync } from 'node:fs'
import { realpath, stat } from 'node:fs/promises'
import { basename, dirname } from 'node:path'
import type { Durability } from './durability.ts'
import { errnoOf, StrataError, systemError } from './errors.ts'
import { publishFile } from './files.ts'
import { removeLeftovers } from './partialNames.ts'
import type { ByteStream } from './streams.ts'

/**
 * Writes a file that a user named. A regular file appears when it is whole, in place of one that is there, also behind a link; a device,
 * a FIFO, and what stands for an open file (`/dev/stdout`, after what it has) is written to as it is, since renaming would replace it.
 *
 * @param open makes the bytes; called only when there is a place for them
 */
export async function deliverFile(path: string, open: () => Promise<ByteStream>, durability: Durability): Promise<void> {
  const place = await regularPlace(path)
  const bytes = await open()
  try {
    if (place !== undefined) await removeLeftovers(dirname(place), name => name === basename(place))
    if (place !== undefined) await publishFile(place, bytes, durability)
    // Node's streams take longer to load than many a command runs.
    else await (await import('node:stream/promises')).pipeline(bytes, createWriteStream(path, { flags: 'a' }))
  } catch (error) {
    throw errnoOf(error) === undefined ? error : systemError(`write "${path}"`, error)
  }
}

/** Whether `deliverFile` would replace a regular file that holds something. */
export async function wouldReplace(path: string): Promise<boolean> {
  const place = await regularPlace(path)
  return place !== undefined && (statSync(place, { throwIfNoEntry: false })?.size ?? 0) > 0
}

/** Where the kernel has names for open files. */
const OPEN_FILES = /^\/(?:dev|proc)\//

/** The path of a regular file, or of one that is to be made; undefined for what is no such file. */
async function regularPlace(path: string): Promise<string | undefined> {
  try {
    const facts = await stat(path)
    if (facts.isDirectory()) throw new StrataError('invalidArgument', 'STRATA_EISDIR', `Cannot write "${path}": it is a directory`)
    return !facts.isFile() || OPEN_FILES.test(path) ? undefined : await realpath(path)
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return path
    throw systemError(`write "${path}"`, error)
  }
}
