import { StrataError } from '../base/index.ts'
import { parseTime } from './durations.ts'

/** What `--filter name=value` said, as asked for name by name. */
export class Filters {
  readonly #values = new Map<string, string[]>()
  readonly #now: Date

  /**
   * @param texts the values of the flag
   * @param allowed the names that the command knows
   * Throws `invalidArgument` for another name, or no `=`.
   */
  constructor(texts: readonly string[], allowed: readonly string[], now: Date) {
    this.#now = now
    for (const text of texts) {
      const [, name = '', value = ''] = /^\s*([^=]*?)\s*=\s*(.*?)\s*$/s.exec(text) ?? []
      if (name === '') throw wrong(text, 'expected name=value')
      if (!allowed.includes(name.toLowerCase())) throw wrong(text, `there is no filter "${name}" here; known are ${allowed.join(', ')}`)
      const values = this.#values.get(name.toLowerCase()) ?? []
      values.push(value)
      this.#values.set(name.toLowerCase(), values)
    }
  }

  /** The values as an option record's part, or nothing where there are none. */
  list<K extends string>(name: string, key: K): { readonly [P in K]?: readonly string[] } {
    return this.mapped(name, key, value => value)
  }

  mapped<K extends string, T>(name: string, key: K, map: (value: string) => T): { readonly [P in K]?: readonly T[] } {
    const values = this.#values.get(name)
    const part: Partial<Record<K, readonly T[]>> = {}
    if (values !== undefined) part[key] = values.map(map)
    return part
  }

  /** The last value, for filters that make sense once. */
  single<K extends string>(name: string, key: K): { readonly [P in K]?: string } {
    const value = this.#values.get(name)?.at(-1)
    return (value === undefined ? {} : { [key]: value }) as { readonly [P in K]?: string }
  }

  truth<K extends string>(name: string, key: K): { readonly [P in K]?: boolean } {
    const value = this.#values.get(name)?.at(-1)
    if (value === undefined) return {}
    if (!/^(?:1|0|true|false)$/i.test(value)) throw wrong(`${name}=${value}`, 'expected true or false')
    return { [key]: /^(?:1|true)$/i.test(value) } as { readonly [P in K]?: boolean }
  }

  time<K extends string>(name: string, key: K): { readonly [P in K]?: Date } {
    const value = this.#values.get(name)?.at(-1)
    if (value === undefined) return {}
    return { [key]: readTime(value, this.#now, `use filter "${name}=${value}"`) } as { readonly [P in K]?: Date }
  }

  words<K extends string, W extends string>(name: string, key: K, words: readonly W[]): { readonly [P in K]?: readonly W[] } {
    return this.mapped(name, key, value => {
      const word = words.find(word => word === value)
      if (word === undefined) throw wrong(`${name}=${value}`, `expected one of ${words.join(', ')}`)
      return word
    })
  }

  numbers<K extends string>(name: string, key: K): { readonly [P in K]?: readonly number[] } {
    return this.mapped(name, key, value => {
      if (!/^-?\d+$/.test(value)) throw wrong(`${name}=${value}`, 'expected a whole number')
      return Number(value)
    })
  }
}

/** Reads a time that a flag or filter gives; `action` is what could not be done otherwise. */
export function readTime(text: string, now: Date, action: string): Date {
  try {
    return parseTime(text, now)
  } catch (error) {
    throw new StrataError('invalidArgument', 'STRATA_INVALID_TIME', `Cannot ${action}: ${(error as Error).message}`)
  }
}

function wrong(text: string, state: string): StrataError {
  return new StrataError('invalidArgument', 'STRATA_INVALID_FILTER', `Cannot use filter "${text}": ${state}`)
}
