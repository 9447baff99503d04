import { sprintf } from './printf.ts'
import {
  describeType,
  formatValue,
  integerOf,
  isNil,
  isObject,
  isTrue,
  NIL_POINTER,
  NIL_SLICE,
  textOf,
  toJson,
  type Value,
} from './values.ts'

/** What may be called in a format: at least and at most how many arguments, and the work. */
export interface TemplateFunction {
  readonly arity: readonly [number, number]
  readonly call: (...args: readonly Value[]) => Value
}

const MANY = Number.POSITIVE_INFINITY

function ordering(name: string, test: (order: number) => boolean): TemplateFunction {
  return { arity: [2, 2], call: (a, b) => test(compare(name, a, b)) }
}

function compare(name: string, a: Value, b: Value): number {
  const comparable = (typeof a === 'number' && typeof b === 'number') || (typeof a === 'string' && typeof b === 'string')
  if (!comparable) throw new Error(`error calling ${name}: incompatible types for comparison`)
  return a < b ? -1 : a > b ? 1 : 0
}

function equal(a: Value, b: Value): boolean {
  if (isNil(a) || isNil(b)) return isNil(a) && isNil(b)
  if (typeof a === 'object' || typeof b === 'object') throw new Error('error calling eq: non-comparable type')
  if (typeof a !== typeof b) throw new Error('error calling eq: incompatible types for comparison')
  return a === b
}

function indexed(value: Value, key: Value): Value {
  if (isNil(value)) throw new Error('error calling index: index of untyped nil')
  if (Array.isArray(value) || typeof value === 'string') {
    const at = integerOf(key, 'index')
    if (at < 0 || at >= value.length) throw new Error(`error calling index: index out of range: ${at}`)
    return typeof value === 'string' ? Buffer.from(value)[at] : value[at]
  }
  if (!isObject(value)) throw new Error(`error calling index: can't index item of type ${describeType(value)}`)
  const name = textOf(key, 'index')
  if (Object.hasOwn(value, name)) return value[name] ?? NIL_SLICE
  // A Go map answers with its element type's zero value; the other elements tell which type that is.
  return Object.values(value).every(element => typeof element === 'string') ? '' : NIL_POINTER
}

function sliced(value: Value, ...bounds: readonly Value[]): Value {
  if (typeof value !== 'string' && !Array.isArray(value))
    throw new Error(`error calling slice: can't slice item of type ${describeType(value)}`)
  const bytes = typeof value === 'string' ? Buffer.from(value) : value
  const [start = 0, end = bytes.length] = bounds.map(bound => integerOf(bound, 'slice'))
  if (start < 0 || end > bytes.length || start > end)
    throw new Error(`error calling slice: index out of range: ${start > end ? start : end}`)
  return Array.isArray(bytes) ? bytes.slice(start, end) : bytes.subarray(start, end).toString()
}

function lengthOf(value: Value): number {
  if (typeof value === 'string') return Buffer.byteLength(value)
  if (Array.isArray(value)) return value.length
  if (isObject(value)) return Object.keys(value).length
  if (isNil(value)) return 0
  throw new Error(`error calling len: len of type ${describeType(value)}`)
}

/** As Go's fmt.Sprint: a space between operands when neither is a string. */
function print(...values: readonly Value[]): string {
  return values
    .map((value, index) => {
      const spaced = index > 0 && typeof value !== 'string' && typeof values[index - 1] !== 'string'
      return (spaced ? ' ' : '') + formatValue(value)
    })
    .join('')
}

function joined(list: Value, separator: Value): string {
  if (isNil(list)) return ''
  if (!Array.isArray(list)) throw new Error(`error calling join: expected list; found ${describeType(list)}`)
  return list.map(formatValue).join(textOf(separator, 'join'))
}

/** The functions of Go's templates and docker's additions, as far as formats use them. `and` and `or` are the evaluator's: they stop early. */
export const FUNCTIONS: Readonly<Record<string, TemplateFunction>> = {
  // docker's
  json: { arity: [1, 1], call: toJson },
  split: { arity: [2, 2], call: (text, by) => textOf(text, 'split').split(textOf(by, 'split')) },
  join: { arity: [2, 2], call: joined },
  lower: { arity: [1, 1], call: text => textOf(text, 'lower').toLowerCase() },
  upper: { arity: [1, 1], call: text => textOf(text, 'upper').toUpperCase() },
  title: { arity: [1, 1], call: text => textOf(text, 'title').replace(/(?<![\p{L}\p{Nd}_'])\p{L}/gu, letter => letter.toUpperCase()) },
  pad: {
    arity: [3, 3],
    call: (text, before, after) =>
      textOf(text, 'pad') === '' ? '' : ' '.repeat(integerOf(before, 'pad')) + textOf(text, 'pad') + ' '.repeat(integerOf(after, 'pad')),
  },
  truncate: {
    arity: [2, 2],
    call: (text, length) => Array.from(textOf(text, 'truncate')).slice(0, integerOf(length, 'truncate')).join(''),
  },
  println: { arity: [0, MANY], call: (...values) => `${values.map(formatValue).join(' ')}\n` },
  // Go's
  print: { arity: [0, MANY], call: print },
  printf: { arity: [1, MANY], call: (format, ...values) => sprintf(textOf(format, 'printf'), values) },
  len: { arity: [1, 1], call: lengthOf },
  index: { arity: [1, MANY], call: (value, ...keys) => keys.reduce(indexed, value) },
  slice: { arity: [1, 4], call: sliced },
  not: { arity: [1, 1], call: value => !isTrue(value) },
  eq: { arity: [2, MANY], call: (first, ...others) => others.some(other => equal(first, other)) },
  ne: { arity: [2, 2], call: (a, b) => !equal(a, b) },
  lt: ordering('lt', order => order < 0),
  le: ordering('le', order => order <= 0),
  gt: ordering('gt', order => order > 0),
  ge: ordering('ge', order => order >= 0),
  html: {
    arity: [0, MANY],
    call: (...values) =>
      print(...values).replace(/[&<>"']/g, char =>
        `&#${char.charCodeAt(0)};`.replace('&#38;', '&amp;').replace('&#60;', '&lt;').replace('&#62;', '&gt;'),
      ),
  },
  urlquery: { arity: [0, MANY], call: (...values) => encodeURIComponent(print(...values)).replaceAll('%20', '+') },
}

/** Every name that the parser accepts as a function. */
export const FUNCTION_NAMES: ReadonlySet<string> = new Set([...Object.keys(FUNCTIONS), 'and', 'or'])
