import { randomBytes } from 'node:crypto'
import { constants, mkdirSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { type Durability, errnoOf, syncDirectory, systemError } from '../base/index.ts'
import { close, CURRENT_DIRECTORY, lockDirectory, openAt, syncFileSystem } from '../host/index.ts'
import type { Trash } from '../metadata/index.ts'
import { type DiffId, digestHex, parseDiffId } from '../oci/index.ts'

/** A place for the files of a layer while they are written. Disposing of it deletes what was not recorded. */
export interface StagedLayer extends AsyncDisposable {
  readonly directory: string
  /** For `applyLayer` and `indexLayer`. */
  readonly indexPath: string
  /** For `applyLayer`. */
  readonly headersPath: string
  /** For what keeps the plain tar. */
  readonly tarPath: string
}

/** The files below `layers/`. A layer's directory gets and loses its name only inside a transaction of the metadata. */
export class LayerFiles {
  readonly #layers: string
  readonly #partial: string
  readonly #trash: Trash
  readonly #durability: Durability

  constructor(root: string, trash: Trash, durability: Durability) {
    this.#layers = join(root, 'layers', 'sha256')
    this.#partial = join(root, 'layers', 'partial')
    this.#trash = trash
    this.#durability = durability
  }

  indexPath(diffId: DiffId): string {
    return join(this.#directory(diffId), 'index')
  }

  headersPath(diffId: DiffId): string {
    return join(this.#directory(diffId), 'headers.zst')
  }

  tarPath(diffId: DiffId): string {
    return join(this.#directory(diffId), 'layer.tar')
  }

  /** Makes an empty place for the files of a layer, locked (flock) as long as this process works on it. */
  stage(): StagedLayer {
    let directory: string
    let lock: number | undefined
    do {
      directory = join(this.#partial, randomBytes(12).toString('hex'))
      try {
        mkdirSync(directory, { recursive: true, mode: 0o700 })
        // Undefined when a collection looked at it, or took it, before it was locked.
        lock = lockDirectory(directory)
      } catch (error) {
        throw systemError(`create "${directory}"`, error)
      }
    } while (lock === undefined)
    let unlock: (() => void) | undefined = close.bind(undefined, lock)
    return {
      directory,
      indexPath: join(directory, 'index'),
      headersPath: join(directory, 'headers.zst'),
      tarPath: join(directory, 'layer.tar'),
      async [Symbol.asyncDispose]() {
        rmSync(directory, { recursive: true, force: true })
        unlock?.()
        unlock = undefined
      },
    }
  }

  /** Makes the files of staged layers survive power loss, where that is wanted: of several at once, all that is on their disk (syncfs). */
  async sync(staged: readonly StagedLayer[]): Promise<void> {
    const [first, ...others] = staged
    if (first === undefined || !this.#durability.isWanted) return
    try {
      if (others.length > 0) await syncAll(first.directory)
      else await syncFiles(first.directory)
    } catch (error) {
      throw systemError(`write "${first.directory}"`, error)
    }
  }

  /** Gives a synced staged layer its place; a leftover that is there goes. Durable after `syncNames`. */
  adopt(staged: StagedLayer, diffId: DiffId): void {
    const directory = this.#directory(diffId)
    try {
      if (mkdirSync(this.#layers, { recursive: true, mode: 0o700 }) !== undefined) {
        this.#durability.syncDirectory(dirname(this.#layers))
        this.#durability.syncDirectory(dirname(dirname(this.#layers)))
      }
      this.#trash.moveAside(directory)
      renameSync(staged.directory, directory)
    } catch (error) {
      throw systemError(`store layer "${diffId}"`, error)
    }
  }

  /** Makes the places that `adopt` has given survive power loss. */
  syncNames(): void {
    this.#durability.syncDirectory(this.#layers)
  }

  /** Tells whether the index is there, and with `tarBytes` whether the tar is there with that size. */
  isWhole(diffId: DiffId, tarBytes?: number): boolean {
    if (statSync(this.indexPath(diffId), { throwIfNoEntry: false }) === undefined) return false
    return tarBytes === undefined || statSync(this.tarPath(diffId), { throwIfNoEntry: false })?.size === tarBytes
  }

  /** Takes the files of a layer out of the store. */
  remove(diffId: DiffId): void {
    this.#trash.moveAside(this.#directory(diffId))
  }

  /** The layers that have a directory. */
  diffIds(): readonly DiffId[] {
    return names(this.#layers).map(name => parseDiffId(`sha256:${name}`))
  }

  /** Names of staged layers that no process works on any more. */
  abandoned(): readonly string[] {
    return names(this.#partial).filter(name => {
      const lock = lockStaged(join(this.#partial, name))
      if (lock !== undefined) close(lock)
      return lock !== undefined
    })
  }

  /** Deletes a staged layer, by its name. */
  deleteAbandoned(name: string): void {
    const directory = join(this.#partial, name)
    const lock = lockStaged(directory)
    if (lock === undefined) return
    try {
      rmSync(directory, { recursive: true, force: true })
    } finally {
      close(lock)
    }
  }

  #directory(diffId: DiffId): string {
    // The type promises a valid DiffId; a cast must not become a path.
    return join(this.#layers, digestHex(parseDiffId(diffId)))
  }
}

async function syncFiles(directory: string): Promise<void> {
  for (const name of readdirSync(directory)) {
    await using file = await open(join(directory, name), 'r')
    await file.sync()
  }
  await syncDirectory(directory)
}

async function syncAll(directory: string): Promise<void> {
  const fd = openAt(CURRENT_DIRECTORY, directory, constants.O_RDONLY | constants.O_DIRECTORY)
  try {
    await syncFileSystem(fd)
  } finally {
    close(fd)
  }
}

function lockStaged(path: string): number | undefined {
  try {
    return lockDirectory(path)
  } catch (error) {
    throw systemError(`open "${path}"`, error)
  }
}

function names(directory: string): readonly string[] {
  try {
    return readdirSync(directory)
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return []
    throw systemError(`list "${directory}"`, error)
  }
}
