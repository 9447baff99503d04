import { type Arguments, Flags, wordsOf } from './arguments.ts'
import type { CommandLine, ConfigInstruction, HealthcheckOptions } from './instruction.ts'

const DURATIONS = {
  interval: 'intervalNs',
  timeout: 'timeoutNs',
  'start-period': 'startPeriodNs',
  'start-interval': 'startIntervalNs',
} as const satisfies Record<string, keyof HealthcheckOptions>

/** Reads `NONE`, or options and `CMD` with a command. Dockerfile reference, HEALTHCHECK. */
export function parseHealthcheck(given: Arguments, commandOf: (text: string) => CommandLine): ConfigInstruction {
  const flags = new Flags(given)
  const options: { -readonly [Name in keyof HealthcheckOptions]: HealthcheckOptions[Name] } = {}
  for (const [name, field] of Object.entries(DURATIONS)) {
    const text = flags.text(name)
    if (text === undefined) continue
    const duration = durationOf(text)
    if (duration === undefined) throw given.problem(`"${text}" is no duration such as 1m30s`)
    options[field] = duration
  }
  const retries = flags.text('retries')
  if (retries !== undefined) {
    if (!/^\d{1,9}$/.test(retries)) throw given.problem(`"${retries}" is no number of retries`)
    options.retries = Number(retries)
  }
  flags.end('HEALTHCHECK')
  const [kind, next] = wordsOf(given.text)
  if (kind?.text.toUpperCase() === 'NONE' && next === undefined) return { name: 'HEALTHCHECK', command: undefined, options: {} }
  if (kind?.text.toUpperCase() !== 'CMD' || next === undefined) throw given.problem('it is neither NONE nor CMD with a command')
  return { name: 'HEALTHCHECK', command: commandOf(given.text.slice(next.offset)), options }
}

const UNIT_NS: Readonly<Record<string, number>> = { ns: 1, us: 1e3, µs: 1e3, ms: 1e6, s: 1e9, m: 60e9, h: 3600e9 }

/** A duration as Go writes it (`1m30s`), in nanoseconds. */
function durationOf(value: string): number | undefined {
  if (!/^(?:\d+(?:\.\d+)?(?:ns|us|µs|ms|s|m|h))+$/.test(value)) return undefined
  let total = 0
  for (const [, amount = '', unit = ''] of value.matchAll(/(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)/g)) total += Number(amount) * UNIT_NS[unit]!
  return total
}
