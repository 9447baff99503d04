/** What one call of an `Inflater` did. */
export interface Inflated {
  /** Bytes of output. */
  readonly written: number
  /** What is to be given again first; at the end of the deflate data, what comes behind it. */
  readonly left: Uint8Array
  readonly ended: boolean
  /** The CRC-32 (RFC 1952) of all output since `reset`; tells something at the end alone. */
  readonly crc: number
}

/** Decodes raw deflate data (RFC 1951), in another thread unless it is soon done, for one stream after another: a way to do it that is faster than node:zlib's. */
export interface Inflater {
  /** Begins with new data. */
  reset(): void
  /**
   * Decodes until all of `input` is used, `output` is full, or the data ends. Neither may be touched before it resolves.
   * Rejects when the data is damaged.
   */
  inflate(input: Uint8Array, output: Uint8Array): Promise<Inflated>
}
