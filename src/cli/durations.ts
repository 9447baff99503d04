const SECOND = 1000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE

/** A duration as docker says it: `Less than a second`, `About a minute`, `2 hours`, `3 weeks`. */
export function humanDuration(ms: number): string {
  const seconds = Math.floor(ms / SECOND)
  if (seconds < 1) return 'Less than a second'
  if (seconds === 1) return '1 second'
  if (seconds < 60) return `${seconds} seconds`
  const minutes = Math.floor(ms / MINUTE)
  if (minutes === 1) return 'About a minute'
  if (minutes < 60) return `${minutes} minutes`
  const hours = Math.floor(ms / HOUR + 0.5)
  if (hours === 1) return 'About an hour'
  if (hours < 48) return `${hours} hours`
  const days = Math.floor(hours / 24)
  if (days < 14) return `${days} days`
  if (days < 60) return `${Math.floor(days / 7)} weeks`
  if (days < 730) return `${Math.floor(days / 30)} months`
  return `${Math.floor(Math.floor(ms / HOUR) / 24 / 365)} years`
}

/** `3 hours ago`; 'N/A' for a time that is not known. */
export function humanAgo(at: Date | undefined, now: Date): string {
  return at === undefined ? 'N/A' : `${humanDuration(Math.max(0, now.getTime() - at.getTime()))} ago`
}

const UNITS_MS: Readonly<Record<string, number>> = { ns: 1e-6, us: 1e-3, µs: 1e-3, μs: 1e-3, ms: 1, s: SECOND, m: MINUTE, h: HOUR }

/** Reads a duration as Go writes it (`1h15m30.5s`, `-5m`, `0`) into milliseconds. */
export function parseDuration(text: string): number {
  const [, sign, rest = ''] = /^([+-]?)(.*)$/.exec(text) ?? []
  if (rest === '0') return 0
  if (!/^(?:(?:\d+\.?\d*|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+$/.test(rest)) throw new Error(`invalid duration: '${text}'`)
  let total = 0
  for (const [, number, unit] of rest.matchAll(/(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)/g)) total += Number(number) * UNITS_MS[unit!]!
  return sign === '-' ? -total : total
}

/**
 * Reads a point in time as docker's `--since`, `--until` and `until=` do: a duration back from now
 * (`10m`), seconds since 1970 with or without a fraction, or RFC 3339 with parts left out, which then
 * is local time.
 */
export function parseTime(text: string, now: Date): Date {
  if (/^-?\d+(\.\d+)?$/.test(text)) return new Date(Number(text) * 1000)
  const [, date, hour, minute = '00', second = '00', zone = ''] =
    /^(\d{4}-\d\d-\d\d)(?:T(\d\d)(?::(\d\d)(?::(\d\d(?:\.\d+)?))?)?)?(Z|[+-]\d\d:\d\d)?$/.exec(text) ?? []
  if (date !== undefined) {
    const at = new Date(`${date}T${hour ?? '00'}:${minute}:${second}${zone}`)
    if (!Number.isNaN(at.getTime())) return at
  }
  try {
    return new Date(now.getTime() - parseDuration(text))
  } catch {
    throw new Error(`invalid time: '${text}': expected a duration such as 10m, seconds since 1970, or 2006-01-02T15:04:05`)
  }
}

/** As docker prints a time in lists: `2024-05-01 12:30:00 +0000 UTC`. */
export function goTime(at: Date): string {
  const offset = -at.getTimezoneOffset()
  const two = (value: number): string => String(Math.trunc(Math.abs(value))).padStart(2, '0')
  const zone = `${offset < 0 ? '-' : '+'}${two(offset / 60)}${two(offset % 60)}`
  const name =
    offset === 0 ? 'UTC' : (/\((.*)\)|GMT[+-]\d+|[A-Z]{2,5}$/.exec(at.toLocaleTimeString('en-US', { timeZoneName: 'short' }))?.[0] ?? zone)
  return `${localTime(at).replace('T', ' ')} ${zone} ${name}`
}

/** `2024-05-01T12:30:00+02:00`, as `docker history --human=false` prints it. */
export function rfc3339(at: Date): string {
  const offset = -at.getTimezoneOffset()
  if (offset === 0) return `${localTime(at)}Z`
  const two = (value: number): string => String(Math.trunc(Math.abs(value))).padStart(2, '0')
  return `${localTime(at)}${offset < 0 ? '-' : '+'}${two(offset / 60)}:${two(offset % 60)}`
}

function localTime(at: Date): string {
  return new Date(at.getTime() - at.getTimezoneOffset() * MINUTE).toISOString().slice(0, 19)
}
