/*
 * Values as templates see them: JSON's, functions that a row offers (`{{.Label "x"}}`), and Go's
 * nils, which print differently from one another.
 */

/** A value that is not there, of a type that JSON no longer tells. */
export interface Nil {
  readonly nil: 'slice' | 'map' | 'pointer'
}

export const NIL_SLICE: Nil = Object.freeze({ nil: 'slice' })
export const NIL_MAP: Nil = Object.freeze({ nil: 'map' })
export const NIL_POINTER: Nil = Object.freeze({ nil: 'pointer' })

export type Value = unknown

export function isNil(value: Value): value is Nil | null | undefined {
  return value === null || value === undefined || value === NIL_SLICE || value === NIL_MAP || value === NIL_POINTER
}

export function isObject(value: Value): value is Readonly<Record<string, Value>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !isNil(value)
}

/** Go's truth: false, 0, "", nil, and what has no elements are false. */
export function isTrue(value: Value): boolean {
  if (isNil(value)) return false
  if (Array.isArray(value)) return value.length > 0
  if (isObject(value)) return Object.keys(value).length > 0
  return Boolean(value)
}

/** Keys in the order in which Go ranges over a map and prints it. */
export function sortedKeys(value: Readonly<Record<string, Value>>): string[] {
  return Object.keys(value).sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
}

/** A value as Go's `%v` prints it. */
export function formatValue(value: Value): string {
  if (value === undefined) return '<no value>'
  if (value === NIL_SLICE) return '[]'
  if (value === NIL_MAP) return 'map[]'
  if (isNil(value)) return '<nil>'
  if (Array.isArray(value)) return `[${value.map(formatValue).join(' ')}]`
  if (isObject(value)) {
    return `map[${sortedKeys(value)
      .map(key => `${key}:${formatValue(value[key])}`)
      .join(' ')}]`
  }
  if (typeof value === 'number') return formatNumber(value)
  return typeof value === 'string' ? value : JSON.stringify(value)
}

function formatNumber(value: number): string {
  // Go's %v of a float64 turns to exponents at 1e21, as JavaScript does, and writes two digits of them.
  return String(value).replace(/e([+-])(\d)$/, 'e$10$2')
}

/** JSON as docker's `json` function writes it: on one line, nothing escaped for HTML. */
export function toJson(value: Value): string {
  return JSON.stringify(isNil(value) ? null : value, (_, inner: unknown) => (isNil(inner) ? null : inner))
}

/** Text of a value for functions over strings, which take nothing else. */
export function textOf(value: Value, name: string): string {
  if (typeof value === 'string') return value
  throw new Error(`error calling ${name}: expected string; found ${describeType(value)}`)
}

export function integerOf(value: Value, name: string): number {
  if (typeof value === 'number' && Number.isInteger(value)) return value
  throw new Error(`error calling ${name}: expected integer; found ${describeType(value)}`)
}

export function describeType(value: Value): string {
  if (isNil(value)) return 'nil'
  if (Array.isArray(value)) return 'list'
  if (isObject(value)) return 'map'
  return typeof value === 'number' ? (Number.isInteger(value) ? 'int' : 'float64') : typeof value === 'boolean' ? 'bool' : typeof value
}
