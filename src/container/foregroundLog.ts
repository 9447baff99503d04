import { appendFileSync } from 'node:fs'

const NEWLINE = 0x0a

/** The kernel does not cut what is appended at once, but readers want lines that are not endless; conmon cuts there, too. */
const LINE_BYTES = 32 * 1024

/**
 * Writes what a foreground container says in the form of conmon's log, so that `logs` reads both. The
 * file is made with the first line: most short commands have none.
 */
export class ForegroundLog {
  readonly #path: string
  readonly #maxBytes: number | undefined
  #bytes = 0

  constructor(path: string, maxBytes: number | undefined) {
    this.#path = path
    this.#maxBytes = maxBytes
  }

  write(stream: 'stdout' | 'stderr', bytes: Uint8Array): void {
    const head = Buffer.from(`${timestamp()} ${stream} `)
    const parts: Uint8Array[] = []
    for (let start = 0; start < bytes.length;) {
      const newline = bytes.indexOf(NEWLINE, start)
      const isWhole = newline !== -1 && newline - start <= LINE_BYTES
      const end = isWhole ? newline : Math.min(newline === -1 ? bytes.length : newline, start + LINE_BYTES)
      parts.push(head, isWhole ? FULL : PARTIAL, bytes.subarray(start, end), LINE_END)
      start = isWhole ? end + 1 : end
    }
    const text = Buffer.concat(parts)
    // As conmon does: a full file begins anew.
    const isFull = this.#maxBytes !== undefined && this.#bytes + text.length > this.#maxBytes
    appendFileSync(this.#path, text, { mode: 0o600, flag: isFull ? 'w' : 'a' })
    this.#bytes = isFull ? text.length : this.#bytes + text.length
  }
}

const FULL = Buffer.from('F ')
const PARTIAL = Buffer.from('P ')
const LINE_END = Buffer.from('\n')

/** Wall-clock time with the microseconds that this process can tell. */
function timestamp(): string {
  const now = performance.timeOrigin + performance.now()
  const micros = Math.floor((now % 1000) * 1000)
  return `${new Date(Math.floor(now / 1000) * 1000).toISOString().slice(0, 19)}.${String(micros).padStart(6, '0')}000+00:00`
}
