import { randomBytes } from 'node:crypto'
import { mkdirSync } from 'node:fs'
import { type FileHandle, open, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { DURABLE, type Durability } from './durability.ts'
import { errnoOf } from './errors.ts'
import { partialName } from './partialNames.ts'
import { type ByteStream, release } from './streams.ts'

/** Makes what happened to the entries of a directory survive power loss. */
export async function syncDirectory(path: string): Promise<void> {
  await using directory = await open(path, 'r')
  await directory.sync()
}

/** Makes a directory and its parents; each gets `mode` (default 0o700: what the store keeps is not for others). */
export async function makeDirectory(path: string, mode = 0o700): Promise<void> {
  // At once: the way through another thread takes ten times as long as the call.
  mkdirSync(path, { recursive: true, mode })
}

/**
 * Writes a file (0600) so that readers see the whole of it or nothing, also after power loss: a partial
 * neighbour is written, synced, renamed, and the directory is synced. What a killed process leaves of it, `removeLeftovers` finds.
 *
 * @param bytes a stream gives its chunks away: each is written while the next is made, and then its memory is given back
 */
export async function publishFile(path: string, bytes: Uint8Array | string | ByteStream, durability: Durability = DURABLE): Promise<void> {
  const partial = partialName(path)
  try {
    {
      await using file = await open(partial, 'wx', 0o600)
      if (typeof bytes === 'string' || bytes instanceof Uint8Array) await file.writeFile(bytes)
      else await writeStream(file, bytes)
      await durability.syncFile(file)
    }
    durability.rename(partial, path)
  } finally {
    await rm(partial, { force: true })
  }
}

async function writeStream(file: FileHandle, bytes: ByteStream): Promise<void> {
  let written = Promise.resolve()
  try {
    for await (const chunk of bytes) {
      await written
      written = file.writeFile(chunk).then(() => release(chunk))
      // Told when the next chunk is there.
      written.catch(() => undefined)
    }
  } finally {
    await written
  }
}

/** The content of a file, or undefined where there is none. */
export async function readIfExists(path: string): Promise<Buffer | undefined> {
  try {
    return await readFile(path)
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined
    throw error
  }
}

/** A directory that disappears with its owner: `await using scratch = await TemporaryDirectory.create()`. */
export class TemporaryDirectory implements AsyncDisposable {
  readonly path: string

  private constructor(path: string) {
    this.path = path
  }

  /** @param parent an existing directory, on the disk where the content is wanted */
  static async create(parent: string, prefix = 'tmp-'): Promise<TemporaryDirectory> {
    const path = join(parent, prefix + randomBytes(8).toString('hex'))
    mkdirSync(path, { mode: 0o700 })
    return new TemporaryDirectory(path)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.path, { recursive: true, force: true })
  }
}
