import { randomBytes } from 'node:crypto'
import { type FileHandle, open, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { systemError } from '../base/index.ts'

/** A file without a name: it ends with this process at the latest. */
export interface ScratchFile extends AsyncDisposable {
  /** How this process, with its workers, opens it. */
  readonly path: string
  /** Appends. */
  write(chunk: Uint8Array): Promise<void>
}

/** @param directory an existing one, on the disk where there is room */
export async function openScratchFile(directory: string): Promise<ScratchFile> {
  const path = join(directory, `archive-${randomBytes(8).toString('hex')}`)
  let file: FileHandle
  try {
    file = await open(path, 'wx+', 0o600)
    await rm(path)
  } catch (error) {
    throw systemError(`write "${path}"`, error)
  }
  // Threads share descriptors: the workers open it by this path too.
  return { path: `/proc/self/fd/${file.fd}`, write: chunk => file.writeFile(chunk), [Symbol.asyncDispose]: () => file.close() }
}
