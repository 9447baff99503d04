import type { TarLimits, TarSink } from './entry.ts'

/** Streaming tar parser. */
export class TarParser {
  constructor(sink: TarSink, limits: TarLimits = {}) {
    void sink
    void limits
  }
  /** Parses the next bytes of the archive. */
  write(chunk: Uint8Array): void {
    void chunk
    throw new Error('being written')
  }
  /** Says that the archive has no more bytes. */
  end(): void {
    throw new Error('being written')
  }
}
