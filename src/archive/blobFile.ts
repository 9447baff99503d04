import { statSync } from 'node:fs'
import { chmod, mkdir, rename, rm } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import {
  type ByteStream,
  type CallOptions,
  drain,
  type Durability,
  errnoOf,
  fileStream,
  interruptible,
  isStrataError,
  partialName,
  publishFile,
  removeLeftovers,
  systemError,
} from '../base/index.ts'
import { verified } from '../content/index.ts'
import type { Descriptor } from '../oci/index.ts'

/** Who may read and write what is handed to others, less what the user's umask takes away. */
const FILE_MODE = 0o666

/** Writes a file of a layout or an image directory: whole or not at all, and durably. */
export async function writeImageFile(path: string, bytes: ByteStream | Uint8Array, durability: Durability): Promise<void> {
  try {
    await publishFile(path, bytes, durability)
    await chmod(path, FILE_MODE & ~process.umask())
  } catch (error) {
    throw systemError(`write "${path}"`, error)
  }
}

/** Makes a directory and its parents, durably. */
export async function makeDirectories(path: string, durability: Durability): Promise<void> {
  const first = await mkdir(path, { recursive: true })
  if (first === undefined) return
  const highest = resolve(first)
  for (let made = resolve(path); made.length >= highest.length; made = dirname(made)) durability.syncDirectory(dirname(made))
}

/**
 * Whether a file holds a blob, to its last byte: nobody knows what has happened to a file that another copy, or another program,
 * has left. To read it costs less than to copy the blob again.
 */
export async function holdsBlob(path: string, target: Descriptor, { signal }: CallOptions): Promise<boolean> {
  const stats = statSync(path, { throwIfNoEntry: false })
  if (stats?.isFile() !== true || stats.size !== target.size) return false
  const bytes = verified(fileStream(path), target)
  try {
    await drain(signal === undefined ? bytes : interruptible(bytes, signal))
    return true
  } catch (error) {
    if (isStrataError(error, 'dataLoss') || errnoOf(error) === 'EIO') return false
    throw errnoOf(error) === undefined ? error : systemError(`read "${path}"`, error)
  }
}

/** A directory beside the one that it will take the place of. */
export class StagedDirectory implements AsyncDisposable {
  readonly path: string
  readonly #place: string
  readonly #durability: Durability

  private constructor(place: string, durability: Durability) {
    this.#place = place
    this.#durability = durability
    this.path = partialName(hiddenBeside(place))
  }

  /** @param place an absolute path, whose parent exists */
  static async create(place: string, durability: Durability): Promise<StagedDirectory> {
    await removeLeftovers(dirname(place), name => name === basename(hiddenBeside(place)))
    const staged = new StagedDirectory(place, durability)
    await mkdir(staged.path)
    return staged
  }

  /** Takes the place; what was there is removed. */
  async publish(): Promise<void> {
    const replaced = `${hiddenBeside(this.#place)}.old`
    const old = partialName(replaced)
    const isThere = statSync(this.#place, { throwIfNoEntry: false }) !== undefined
    if (isThere) await rename(this.#place, old)
    this.#durability.rename(this.path, this.#place)
    if (isThere) await rm(old, { recursive: true, force: true })
    // Only now: as long as nothing has taken its place, what somebody who was killed had moved away is the last of it.
    await removeLeftovers(dirname(this.#place), name => name === basename(replaced))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.path, { recursive: true, force: true })
  }
}

const hiddenBeside = (place: string): string => join(dirname(place), `.${basename(place)}`)
