/** Chunks between who brings them and who takes them, in order. */
export class ChunkQueue {
  readonly #chunks: Uint8Array[] = []
  #bytes = 0
  #outcome: { readonly error?: unknown } | undefined
  #wake: (() => void) | undefined

  /** How many bytes wait to be taken. */
  get bytes(): number {
    return this.#bytes
  }

  push(chunk: Uint8Array): void {
    this.#chunks.push(chunk)
    this.#bytes += chunk.length
    this.#wake?.()
  }

  /** Nothing more comes: whoever takes what waits then comes to its end, or to the error. Only the first call counts. */
  end(outcome: { readonly error?: unknown } = {}): void {
    this.#outcome ??= outcome
    this.#wake?.()
  }

  /** The next chunk; undefined at the end. For one taker at a time. Rejects with the error that it ends with. */
  async next(): Promise<Uint8Array | undefined> {
    while (this.#chunks.length === 0) {
      if (this.#outcome !== undefined) {
        if ('error' in this.#outcome) throw this.#outcome.error
        return undefined
      }
      await new Promise<void>(resolve => {
        this.#wake = resolve
      })
      this.#wake = undefined
    }
    const chunk = this.#chunks.shift()!
    this.#bytes -= chunk.length
    return chunk
  }
}
