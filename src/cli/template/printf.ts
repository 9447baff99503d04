import { describeType, formatValue, isNil, type Value } from './values.ts'

/** Go's fmt.Sprintf for the verbs that people use in formats: %s %q %v %d %x %X %o %b %c %t %f %e %g, with flags, width and precision. */
export function sprintf(format: string, values: readonly Value[]): string {
  let next = 0
  const text = format.replace(
    /%([-+# 0]*)(\*|\d+)?(?:\.(\d*))?([a-zA-Z%])/g,
    (_, flags: string, width: string | undefined, precision: string | undefined, verb: string) => {
      if (verb === '%') return '%'
      let columns = width === undefined ? 0 : Number(width)
      let left = flags.includes('-')
      if (width === '*') {
        columns = Number(values[next])
        next += 1
        if (columns < 0) left = true
        columns = Math.abs(columns)
      }
      if (next >= values.length) return `%!${verb}(MISSING)`
      const value = values[next]
      next += 1
      const digits = precision === undefined ? undefined : Number(precision || '0')
      const formatted = formatVerb(verb, value, digits, flags)
      if (left) return formatted.padEnd(columns)
      if (flags.includes('0') && typeof value === 'number') {
        const sign = /^[+-]/.exec(formatted)?.[0] ?? ''
        return sign + formatted.slice(sign.length).padStart(columns - sign.length, '0')
      }
      return formatted.padStart(columns)
    },
  )
  const rest = values.slice(next)
  return rest.length === 0 ? text : `${text}%!(EXTRA ${rest.map(withType).join(', ')})`
}

function formatVerb(verb: string, value: Value, digits: number | undefined, flags: string): string {
  const plus = flags.includes('+') && typeof value === 'number' && value >= 0 ? '+' : ''
  const whole = typeof value === 'number' && Number.isInteger(value)
  switch (verb) {
    case 'v':
      return plus + formatValue(value)
    case 's': {
      if (typeof value === 'number' || typeof value === 'boolean') break
      const text = formatValue(value)
      return digits === undefined ? text : Array.from(text).slice(0, digits).join('')
    }
    case 'q':
      if (Array.isArray(value)) return `[${value.map((element: Value) => formatVerb('q', element, digits, flags)).join(' ')}]`
      if (typeof value === 'string') return JSON.stringify(value)
      if (whole) return `'${String.fromCodePoint(value)}'`
      break
    case 'd':
      if (whole) return plus + String(value)
      break
    case 'x':
    case 'X': {
      const hex = whole ? value.toString(16) : typeof value === 'string' ? Buffer.from(value).toString('hex') : undefined
      if (hex === undefined) break
      const text = (flags.includes('#') ? '0x' : '') + hex
      return verb === 'X' ? text.toUpperCase() : text
    }
    case 'o':
    case 'b':
      if (whole) return value.toString(verb === 'o' ? 8 : 2)
      break
    case 'c':
      if (whole) return String.fromCodePoint(value)
      break
    case 't':
      if (typeof value === 'boolean') return String(value)
      break
    case 'f':
    case 'F':
      if (typeof value === 'number') return plus + value.toFixed(digits ?? 6)
      break
    case 'e':
    case 'g':
      if (typeof value === 'number') {
        const text =
          verb === 'e'
            ? value.toExponential(digits ?? 6)
            : digits === undefined
              ? String(value)
              : String(Number(value.toPrecision(digits || 1)))
        return plus + text.replace(/e([+-])(\d)$/, 'e$10$2')
      }
      break
    default:
  }
  return `%!${verb}(${withType(value)})`
}

/** A value that a verb cannot format, as Go shows it: `int=1`. */
function withType(value: Value): string {
  return isNil(value) ? '<nil>' : `${describeType(value)}=${formatValue(value)}`
}
