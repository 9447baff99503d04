import { StrataError } from '../base/index.ts'
import type { RuntimeFacts, Ulimit } from './bundleOptions.ts'
import type { RuntimeRlimit } from './runtimeSpec.ts'

/** getrlimit(2); the names that docker's --ulimit takes. */
const NAMES = new Set('as core cpu data fsize locks memlock msgqueue nice nofile nproc rss rtprio rttime sigpending stack'.split(' '))

/** RLIM_INFINITY. As a double it is 2^64; `formatSpec` writes it as the integer that it stands for. */
export const UNLIMITED: number = 2 ** 64

/**
 * Open files of a container, as with a dockerd of today: few for programs that use select(2) or walk
 * over all descriptors, many for those that raise their own limit. Said always, because Node raises
 * its own soft limit and a container would inherit that.
 */
const NOFILE: Ulimit = { name: 'nofile', soft: 1024, hard: 524_288 }

/**
 * The resource limits of a process. Without CAP_SYS_RESOURCE nobody can go beyond the own hard limit;
 * what is beyond it is lowered, and said if the user asked for it.
 */
export function planRlimits(
  ulimits: readonly Ulimit[],
  facts: Pick<RuntimeFacts, 'capabilities' | 'hardLimits'>,
): { rlimits: readonly RuntimeRlimit[]; warnings: readonly string[] } {
  const warnings: string[] = []
  const mayRaise = facts.capabilities.includes('CAP_SYS_RESOURCE')
  const wanted = new Map([NOFILE, ...ulimits].map(ulimit => [ulimit.name, ulimit]))
  const rlimits = [...wanted.values()].map(({ name, soft, hard }): RuntimeRlimit => {
    if (!NAMES.has(name)) {
      throw new StrataError('invalidArgument', 'STRATA_UNKNOWN_ULIMIT', `Cannot set ulimit "${name}": there is none of that name`)
    }
    for (const value of [soft, hard]) {
      if (!Number.isSafeInteger(value) || value < -1) {
        throw new StrataError(
          'invalidArgument',
          'STRATA_INVALID_ULIMIT',
          `Cannot set ulimit "${name}": ${value} is no whole number from -1 up`,
        )
      }
    }
    const type = `RLIMIT_${name.toUpperCase()}`
    const [low, high] = [finite(soft), finite(hard)]
    if (low > high) {
      throw new StrataError(
        'invalidArgument',
        'STRATA_INVALID_ULIMIT',
        `Cannot set ulimit "${name}": the soft limit ${soft} is above the hard limit ${hard}`,
      )
    }
    const most = mayRaise ? UNLIMITED : (facts.hardLimits[type] ?? UNLIMITED)
    if (high > most && ulimits.some(ulimit => ulimit.name === name)) {
      warnings.push(`The ulimit ${name} is lowered to ${most}, the hard limit of this process, which it may not raise.`)
    }
    return { type, soft: Math.min(low, most), hard: Math.min(high, most) }
  })
  return { rlimits, warnings }
}

function finite(value: number): number {
  return value === -1 ? UNLIMITED : value
}
