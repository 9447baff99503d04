import { StrataError } from '../base/index.ts'
import { type Digest, isDigest } from './digest.ts'
import { LIMITS } from './limits.ts'
import { quoted } from './quoted.ts'

/** What is being read, for limits and messages. */
export interface DocumentKind {
  /** As messages say it: `image manifest`, `signature policy "/etc/containers/policy.json"`. */
  readonly name: string
  readonly code: `STRATA_${string}`
  readonly maxBytes: number
}

/** RFC 6838 §4.2, as image-spec descriptor.md#properties takes it over. */
const MEDIA_TYPE = /^[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}\/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}$/
/** RFC 3339 §5.6 `date-time`. */
const DATE_TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)$/

/**
 * Reads a JSON object that came from outside: bounded in bytes and nesting, UTF-8 only, and without a name twice in one object.
 * A repeated name is where readers differ (the first, the last, or a mixture of both), so one digest would mean two images.
 *
 * @throws StrataError with the code of `kind`
 */
export function readDocument(bytes: Uint8Array, kind: DocumentKind): Fields {
  if (bytes.length > kind.maxBytes) throw invalid(kind, `it has ${bytes.length} bytes, more than ${kind.maxBytes}`)
  let text: string
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch (cause) {
    throw invalid(kind, 'it is not UTF-8', cause)
  }
  refuseDeepNesting(text, kind)
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw invalid(kind, `it is not JSON${placeIn(cause)}`, cause)
  }
  refuseRepeatedNames(text, kind)
  if (!isObject(value)) throw invalid(kind, 'it is not a JSON object')
  return new Fields(value, '', kind)
}

/** Where V8 gave up: ` (line 3 column 5)`. Of its message nothing else may be shown, which has a piece of the text. */
const placeIn = (error: unknown): string => (error instanceof Error ? (/ \(line \d+ column \d+\)$/.exec(error.message)?.[0] ?? '') : '')

function invalid(kind: DocumentKind, state: string, cause?: unknown): StrataError {
  return new StrataError('invalidArgument', kind.code, `Cannot read ${kind.name}: ${state}`, cause === undefined ? {} : { cause })
}

type JsonObject = Readonly<Record<string, unknown>>

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/**
 * The brackets, colons and commas of a JSON text and its strings whole, with their quotes. A loop and no expression:
 * its time is linear in any text, also in one that is no JSON.
 */
function* tokens(text: string): Generator<string, void> {
  for (let at = 0; at < text.length; at++) {
    const character = text.charAt(at)
    if (character === '"') {
      const start = at++
      while (at < text.length && text[at] !== '"') at += text[at] === '\\' ? 2 : 1
      yield text.slice(start, at + 1)
    } else if ('{}[],:'.includes(character)) yield character
  }
}

function refuseDeepNesting(text: string, kind: DocumentKind): void {
  let depth = 0
  for (const token of tokens(text)) {
    if (token === '{' || token === '[') depth++
    else if (token === '}' || token === ']') depth--
    if (depth > LIMITS.nesting) throw invalid(kind, `objects and arrays stand more than ${LIMITS.nesting} deep inside each other`)
  }
}

/** `text` is valid JSON. A string directly before a colon is a name of the innermost object. */
function refuseRepeatedNames(text: string, kind: DocumentKind): void {
  const objects: (Set<string> | undefined)[] = []
  let string: string | undefined
  for (const token of tokens(text)) {
    if (token === '{') objects.push(new Set())
    else if (token === '[') objects.push(undefined)
    else if (token === '}' || token === ']') objects.pop()
    else if (token === ':' && string !== undefined) {
      const name = string.includes('\\') ? (JSON.parse(string) as string) : string.slice(1, -1)
      const names = objects.at(-1)
      if (names?.has(name) === true) throw invalid(kind, `the name ${quoted(name)} stands twice in one object`)
      names?.add(name)
    }
    string = token.startsWith('"') ? token : undefined
  }
}

/**
 * One object of a document, and where it stands there. The readers give `undefined` for a field that is absent or
 * null (Go programs write null for empty lists) and throw the document's error for one of a wrong type.
 */
export class Fields {
  readonly #raw: JsonObject
  readonly #path: string
  readonly #kind: DocumentKind

  constructor(raw: JsonObject, path: string, kind: DocumentKind) {
    this.#raw = raw
    this.#path = path
    this.#kind = kind
  }

  get names(): readonly string[] {
    return Object.keys(this.#raw)
  }

  /** The error about the field `name` of this object, or about the whole object. */
  error(name: string | undefined, state: string): StrataError {
    const place = name === undefined ? this.#path : this.#pathOf(name)
    return invalid(this.#kind, place === '' ? state : `${place} ${state}`)
  }

  /** `value`, which was read from `name`, or the error that it is missing. */
  require<T>(name: string, value: T | undefined): T {
    if (value === undefined) throw this.error(name, 'is missing')
    return value
  }

  string(name: string): string | undefined {
    const value = this.#get(name)
    if (value === undefined || typeof value === 'string') return value
    throw this.error(name, 'is not a string')
  }

  /** Refuses fields other than these, for documents whose every field has to be understood. */
  refuseOthers(known: readonly string[]): void {
    const other = this.names.find(name => !known.includes(name))
    if (other !== undefined) throw this.error(undefined, `${this.#path === '' ? 'it ' : ''}has the unknown field ${quoted(other)}`)
  }

  boolean(name: string): boolean | undefined {
    const value = this.#get(name)
    if (value === undefined || typeof value === 'boolean') return value
    throw this.error(name, 'is not true or false')
  }

  integer(name: string): number | undefined {
    const value = this.#get(name)
    if (value === undefined || Number.isSafeInteger(value)) return value as number | undefined
    throw this.error(name, 'is not an integer below 2^53')
  }

  /** A number of bytes. */
  size(name: string): number | undefined {
    const value = this.integer(name)
    if (value !== undefined && value < 0) throw this.error(name, `is negative (${value})`)
    return value
  }

  digest(name: string): Digest | undefined {
    const value = this.string(name)
    if (value === undefined || isDigest(value)) return value
    throw this.error(name, `is no digest: ${quoted(value)}, expected sha256:<64 lower-case hex> or sha512:<128 lower-case hex>`)
  }

  /** A media type; an empty one counts as absent. */
  mediaType(name: string): string | undefined {
    const value = this.string(name)
    if (value === undefined || value === '') return undefined
    if (!MEDIA_TYPE.test(value)) throw this.error(name, `is no media type: ${quoted(value)}`)
    return value
  }

  /** A point in time, left as it is written. */
  dateTime(name: string): string | undefined {
    const value = this.string(name)
    if (value === undefined) return undefined
    if (!DATE_TIME.test(value) || Number.isNaN(Date.parse(value))) throw this.error(name, `is no RFC 3339 time: ${quoted(value)}`)
    return value
  }

  strings(name: string): readonly string[] | undefined {
    const value = this.#array(name)
    if (value === undefined) return undefined
    if (!value.every(item => typeof item === 'string')) throw this.error(name, 'has an element that is not a string')
    return value
  }

  /** A list of strings, or one string in its place. */
  stringOrStrings(name: string): readonly string[] | undefined {
    const value = this.#get(name)
    return typeof value === 'string' ? [value] : this.strings(name)
  }

  stringMap(name: string): Readonly<Record<string, string>> | undefined {
    const value = this.#object(name)
    if (value === undefined) return undefined
    if (!Object.values(value).every(item => typeof item === 'string')) throw this.error(name, 'has a value that is not a string')
    return value as Readonly<Record<string, string>>
  }

  /** A set, as Go programs write one: an object whose values are empty objects. */
  set(name: string): Readonly<Record<string, object>> | undefined {
    const value = this.#object(name)
    if (value === undefined) return undefined
    if (!Object.values(value).every(isObject)) throw this.error(name, 'has a value that is not an object')
    return value as Readonly<Record<string, object>>
  }

  object(name: string): Fields | undefined {
    const value = this.#object(name)
    return value === undefined ? undefined : new Fields(value, this.#pathOf(name), this.#kind)
  }

  /** A list of objects, at most `limit`. */
  objects(name: string, limit: number): readonly Fields[] | undefined {
    const value = this.#array(name)
    if (value === undefined) return undefined
    if (value.length > limit) throw this.error(name, `has ${value.length} elements, more than ${limit}`)
    return value.map((item, at) => {
      const path = `${this.#pathOf(name)}[${at}]`
      if (!isObject(item)) throw invalid(this.#kind, `${path} is not an object`)
      return new Fields(item, path, this.#kind)
    })
  }

  /** This object with `known` in place of the fields of these names; `undefined` leaves a field out, unknown fields stay. */
  with<T>(known: { readonly [K in keyof T]-?: T[K] | undefined }): T {
    const result: Record<string, unknown> = { ...this.#raw }
    for (const [name, value] of Object.entries(known)) {
      if (value === undefined) delete result[name]
      else result[name] = value
    }
    return result as T
  }

  #pathOf(name: string): string {
    return this.#path === '' ? name : `${this.#path}.${name}`
  }

  #get(name: string): unknown {
    return Object.hasOwn(this.#raw, name) ? (this.#raw[name] ?? undefined) : undefined
  }

  #object(name: string): JsonObject | undefined {
    const value = this.#get(name)
    if (value === undefined || isObject(value)) return value
    throw this.error(name, 'is not an object')
  }

  #array(name: string): readonly unknown[] | undefined {
    const value = this.#get(name)
    if (value === undefined || Array.isArray(value)) return value
    throw this.error(name, 'is not an array')
  }
}
