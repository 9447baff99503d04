import { StrataError } from '../../base/index.ts'
import { quoted } from '../../oci/index.ts'

/** Longer lists are no configuration that somebody wrote. */
const MAX_ENTRIES = 10_000

/** A table of a parsed configuration file, read with types: what is of another type is told with its place. Unknown names are left alone. */
export class ConfigTable {
  readonly #values: Readonly<Record<string, unknown>>
  readonly #file: string
  readonly #place: string

  private constructor(values: Readonly<Record<string, unknown>>, file: string, place: string) {
    this.#values = values
    this.#file = file
    this.#place = place
  }

  /** @throws StrataError STRATA_CONFIG_INVALID, as do all methods @param file for messages */
  static of(value: unknown, file: string, place = ''): ConfigTable {
    if (!isTable(value)) throw configInvalid(file, place === '' ? 'it is no table' : `${place} is no table`)
    return new ConfigTable(value, file, place)
  }

  get names(): readonly string[] {
    return Object.keys(this.#values)
  }

  has(name: string): boolean {
    return Object.hasOwn(this.#values, name)
  }

  text(name: string): string | undefined {
    const value = this.#get(name)
    if (value === undefined || typeof value === 'string') return value
    throw this.invalid(name, 'is no text')
  }

  flag(name: string): boolean | undefined {
    const value = this.#get(name)
    if (value === undefined || typeof value === 'boolean') return value
    throw this.invalid(name, 'is neither true nor false')
  }

  /** A list of texts; empty when it is missing. */
  texts(name: string): readonly string[] {
    return this.list(name).map(value => {
      if (typeof value === 'string') return value
      throw this.invalid(name, 'is no list of texts')
    })
  }

  /** A text or a list of texts, as a list. */
  textOrTexts(name: string): readonly string[] {
    const value = this.#get(name)
    return typeof value === 'string' ? [value] : this.texts(name)
  }

  list(name: string): readonly unknown[] {
    const value = this.#get(name) ?? []
    if (!Array.isArray(value)) throw this.invalid(name, 'is no list')
    if (value.length > MAX_ENTRIES) throw this.invalid(name, `has more than ${MAX_ENTRIES} entries`)
    return value as readonly unknown[]
  }

  tables(name: string): readonly ConfigTable[] {
    return this.list(name).map((value, index) => ConfigTable.of(value, this.#file, this.#placeOf(`${name}[${index}]`)))
  }

  table(name: string): ConfigTable | undefined {
    const value = this.#get(name)
    return value === undefined ? undefined : ConfigTable.of(value, this.#file, this.#placeOf(name))
  }

  invalid(name: string, state: string): StrataError {
    return configInvalid(this.#file, `${this.#placeOf(name)} ${state}`)
  }

  #get(name: string): unknown {
    return this.has(name) ? this.#values[name] : undefined
  }

  #placeOf(name: string): string {
    return this.#place === '' ? quoted(name) : `${this.#place}.${quoted(name)}`
  }
}

function isTable(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Date)
}

export function configInvalid(file: string, state: string, cause?: unknown): StrataError {
  return new StrataError('invalidArgument', 'STRATA_CONFIG_INVALID', `Cannot use "${file}": ${state}`, cause === undefined ? {} : { cause })
}
