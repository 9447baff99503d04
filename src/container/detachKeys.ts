import { StrataError } from '../base/index.ts'

const DEFAULT_KEYS = 'ctrl-p,ctrl-q'

/** The bytes of keys as docker writes them: `a`, or `ctrl-` and a letter or one of `@[\]^_`, with commas between. */
export function parseDetachKeys(text: string): Uint8Array {
  if (text === '') return new Uint8Array()
  return Uint8Array.from(
    text.split(',').map(key => {
      const [, control] = /^ctrl-([a-z@[\\\]^_])$/i.exec(key) ?? []
      if (control !== undefined) return control.toUpperCase().charCodeAt(0) & 0x1f
      if (/^[\x20-\x7e]$/.test(key)) return key.charCodeAt(0)
      throw new StrataError('invalidArgument', 'STRATA_INVALID_DETACH_KEYS', `Cannot use detach keys "${text}": "${key}" is not a key`)
    }),
  )
}

/** Looks for the detach keys in what is typed. Keys that may be their beginning are held back until it is clear. */
export class DetachKeys {
  readonly #keys: Uint8Array
  #held: number[] = []

  /** @param text default ctrl-p,ctrl-q; '' is none */
  constructor(text: string = DEFAULT_KEYS) {
    this.#keys = parseDetachKeys(text)
  }

  take(typed: Uint8Array): { readonly passed: Uint8Array; readonly isDetached: boolean } {
    if (this.#keys.length === 0) return { passed: typed, isDetached: false }
    const passed: number[] = []
    for (const byte of typed) {
      this.#held.push(byte)
      while (!this.#isBeginning()) passed.push(this.#held.shift()!)
      if (this.#held.length === this.#keys.length) return { passed: Uint8Array.from(passed), isDetached: true }
    }
    return { passed: Uint8Array.from(passed), isDetached: false }
  }

  #isBeginning(): boolean {
    return this.#held.every((byte, index) => byte === this.#keys[index])
  }
}
