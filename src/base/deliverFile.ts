import { createWriteStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import type { Durability } from './durability.ts'
import { errnoOf, StrataError, systemError } from './errors.ts'
import { publishFile } from './files.ts'
import type { ByteStream } from './streams.ts'

/**
 * Writes a file that a user named. A regular file appears when it is whole, in place of one that is there; a device or a FIFO is
 * written to as it is, since renaming would replace it.
 *
 * @param open makes the bytes; called only when there is a place for them
 */
export async function deliverFile(path: string, open: () => Promise<ByteStream>, durability: Durability): Promise<void> {
  const isRegular = await isRegularOrAbsent(path)
  const bytes = await open()
  try {
    if (isRegular) await publishFile(path, bytes, durability)
    // Node's streams take longer to load than many a command runs.
    else await (await import('node:stream/promises')).pipeline(bytes, createWriteStream(path))
  } catch (error) {
    throw errnoOf(error) === undefined ? error : systemError(`write "${path}"`, error)
  }
}

async function isRegularOrAbsent(path: string): Promise<boolean> {
  try {
    const facts = await stat(path)
    if (facts.isDirectory()) throw new StrataError('invalidArgument', 'STRATA_EISDIR', `Cannot write "${path}": it is a directory`)
    return facts.isFile()
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return true
    throw systemError(`write "${path}"`, error)
  }
}
