import { constants } from 'node:os'
import { StrataError } from '../base/index.ts'

/** The kernel's first and last real-time signals; a C library keeps 32 and 33, and counts SIGRTMIN from 34. signal(7) */
const REAL_TIME_MIN = 34
const REAL_TIME_MAX = 64

/**
 * The number of a signal: `TERM`, `SIGTERM`, `15`, `RTMIN+3`, `SIGRTMAX-1`, in any case.
 * Throws `invalidArgument` for what is none.
 */
export function parseSignal(text: string): number {
  const number = signalNumber(text.trim().toUpperCase().replace(/^SIG/, ''))
  if (number !== undefined && number >= 1 && number <= REAL_TIME_MAX) return number
  throw new StrataError('invalidArgument', 'STRATA_INVALID_SIGNAL', `Cannot use signal "${text}": there is none of that name`)
}

function signalNumber(name: string): number | undefined {
  if (/^\d{1,3}$/.test(name)) return Number(name)
  const [, end, sign, offset = '0'] = /^RTM(IN|AX)(?:([+-])(\d{1,2}))?$/.exec(name) ?? []
  if (end === 'IN' && sign !== '-') return REAL_TIME_MIN + Number(offset) <= REAL_TIME_MAX ? REAL_TIME_MIN + Number(offset) : undefined
  if (end === 'AX' && sign !== '+') return REAL_TIME_MAX - Number(offset) >= REAL_TIME_MIN ? REAL_TIME_MAX - Number(offset) : undefined
  return (constants.signals as Readonly<Record<string, number>>)[`SIG${name}`]
}
