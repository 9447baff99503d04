import { mkdirSync, statSync, unlinkSync } from 'node:fs'
import { constants } from 'node:fs'
import { join } from 'node:path'
import { errnoOf } from '../base/index.ts'
import { close, CURRENT_DIRECTORY, lockFile, openAt, statFd, tryLockFile } from '../host/index.ts'

/** A lock that is held. It ends with `dispose`, or with this process. */
export interface HeldLock extends Disposable {
  /** Removes the lock's file: for a container that is no more. */
  forget(): void
}

/**
 * One lock per container, among all processes: who starts, cleans up, removes, pauses or mounts a
 * container holds it. It is held while something is done, never while something is waited for that
 * takes as long as a container likes.
 */
export class ContainerLocks {
  readonly #directory: string

  constructor(directory: string) {
    this.#directory = directory
  }

  async acquire(id: string, signal?: AbortSignal): Promise<HeldLock> {
    for (;;) {
      const fd = this.#open(id)
      try {
        await lockFile(fd, 'exclusive', { signal })
      } catch (error) {
        close(fd)
        throw error
      }
      const held = this.#claim(id, fd)
      if (held !== undefined) return held
    }
  }

  /** undefined when somebody else holds it: whoever that is sees to the container. */
  tryAcquire(id: string): HeldLock | undefined {
    for (;;) {
      const fd = this.#open(id)
      if (!tryLockFile(fd, 'exclusive')) {
        close(fd)
        return undefined
      }
      const held = this.#claim(id, fd)
      if (held !== undefined) return held
    }
  }

  #path(id: string): string {
    return join(this.#directory, id)
  }

  #open(id: string): number {
    const flags = constants.O_RDWR | constants.O_CREAT
    try {
      return openAt(CURRENT_DIRECTORY, this.#path(id), flags, 0o600)
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT') throw error
      mkdirSync(this.#directory, { recursive: true, mode: 0o700 })
      return openAt(CURRENT_DIRECTORY, this.#path(id), flags, 0o600)
    }
  }

  /** The file may have been forgotten while we waited: a lock on it locks nobody out. */
  #claim(id: string, fd: number): HeldLock | undefined {
    const path = this.#path(id)
    const present = statSync(path, { bigint: true, throwIfNoEntry: false })
    if (present === undefined || present.ino !== statFd(fd).inode) {
      close(fd)
      return undefined
    }
    let open = true
    return {
      forget: () => {
        try {
          unlinkSync(path)
        } catch (error) {
          if (errnoOf(error) !== 'ENOENT') throw error
        }
      },
      [Symbol.dispose]: () => {
        if (open) close(fd)
        open = false
      },
    }
  }
}
