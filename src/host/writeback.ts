import { callInThread } from './libc.ts'

/** Each call costs an exchange between threads; so much is on its way to the disk at once. */
const PIECE_BYTES = 16 * 1024 * 1024
/** Begins to write what is not being written yet, and waits for nothing but room in the queue of the disk. sync_file_range(2) */
const SYNC_FILE_RANGE_WRITE = 2

/**
 * Has the kernel write a file to the disk while it grows. By itself it begins seconds later, or when a tenth of the memory waits for
 * the disk; a sync would then find everything left to do.
 */
export class Writeback {
  readonly #fd: number
  #begun = 0
  #last: Promise<void> = Promise.resolve()

  /** @param fd stays open until `end` has resolved */
  constructor(fd: number) {
    this.#fd = fd
  }

  /** The file has so many bytes now. */
  grown(size: number): void {
    if (size - this.#begun < PIECE_BYTES) return
    const [from, length] = [this.#begun, size - this.#begun]
    this.#begun = size
    // What the disk refuses, the sync tells.
    this.#last = this.#last
      .then(() => callInThread('sync_file_range', this.#fd, from, length, SYNC_FILE_RANGE_WRITE))
      .catch(() => undefined)
  }

  /** Resolves when the descriptor is not used any more. */
  end(): Promise<void> {
    return this.#last
  }
}
