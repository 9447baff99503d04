/** Walks over a format in which headers and payloads alternate: it collects the ones and passes over the others. */
export class ByteWalk {
  /** What has been collected of the current header. */
  readonly header: Buffer
  /** Whether what is walked over has ended. */
  done = false
  #filled = 0
  #wanted = 0
  #left = 0
  #then: () => void = () => undefined

  /** @param largestHeader in bytes */
  constructor(largestHeader: number) {
    this.header = Buffer.alloc(largestHeader)
  }

  /** Bytes of the current header so far. */
  get filled(): number {
    return this.#filled
  }

  /** Takes the bytes that belong to what is walked over; returns how many they are. */
  take(bytes: Uint8Array): number {
    let at = 0
    while (at < bytes.length && !this.done) {
      if (this.#left > 0) {
        const got = Math.min(this.#left, bytes.length - at)
        at += got
        this.#left -= got
        if (this.#left === 0) this.#then()
        continue
      }
      this.header[this.#filled] = bytes[at]!
      this.#filled += 1
      at += 1
      if (this.#filled === this.#wanted) this.#then()
    }
    return at
  }

  /** Collects a new header of `bytes`, and then goes on with `then`. */
  collect(bytes: number, then: () => void): void {
    this.#filled = 0
    this.#wanted = bytes
    this.#then = then
  }

  /** Collects more of the header, until it has `bytes`. */
  extend(bytes: number, then: () => void): void {
    this.#wanted = bytes
    this.#then = then
    if (this.#filled === bytes) then()
  }

  /** Passes over `bytes`, and then goes on with `then`. */
  skip(bytes: number, then: () => void): void {
    this.#left = bytes
    this.#then = then
    if (bytes === 0) then()
  }
}
