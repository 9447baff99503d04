/** Numbers that look random and are the same for the same seed: images are made of them, and nothing that has to be secret. */
export class SeededRandom {
  #state: number

  constructor(seed: number) {
    this.#state = seed >>> 0
  }

  /** 32 bits (splitmix32: a counter, mixed). */
  next(): number {
    this.#state = (this.#state + 0x9e3779b9) >>> 0
    let mixed = this.#state
    mixed = Math.imul(mixed ^ (mixed >>> 16), 0x21f0aaad)
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97)
    return (mixed ^ (mixed >>> 15)) >>> 0
  }

  /** A whole number from `low` to `high`, both included. */
  between(low: number, high: number): number {
    return low + (this.next() % (high - low + 1))
  }

  /** Takes one element out of an array. */
  take<T>(from: T[]): T {
    if (from.length === 0) throw new RangeError('Cannot take an element: the array is empty')
    return from.splice(this.between(0, from.length - 1), 1)[0]!
  }

  /** Bytes that do not compress. */
  bytes(count: number): Buffer {
    const words = new Uint32Array(Math.ceil(count / 4))
    for (let index = 0; index < words.length; index += 1) words[index] = this.next()
    return Buffer.from(words.buffer, 0, count)
  }
}
