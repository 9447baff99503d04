import type { UlimitOptions } from '../../engine/index.ts'
import { invalidFlag } from './flagValues.ts'

/** setrlimit(2), in the names that docker gives them. */
const NAMES: ReadonlySet<string> = new Set([
  ...[
    'core',
    'cpu',
    'data',
    'fsize',
    'locks',
    'memlock',
    'msgqueue',
    'nice',
    'nofile',
    'nproc',
    'rss',
    'rtprio',
    'rttime',
    'sigpending',
    'stack',
  ],
])

/** Reads `name=soft[:hard]`; -1 and `unlimited` are without limit. */
export function readUlimit(text: string): UlimitOptions {
  const wrong = (state: string): Error => invalidFlag(`--ulimit "${text}"`, state)
  const [, name = '', softText = '', hardText = softText] = /^([^=]+)=([^:]+)(?::([^:]+))?$/.exec(text) ?? []
  if (name === '') throw wrong('expected name=soft[:hard]')
  if (!NAMES.has(name)) throw wrong(`there is no limit "${name}"; known are ${[...NAMES].join(', ')}`)
  const read = (number: string): number => {
    if (number === 'unlimited') return -1
    if (!/^-?\d+$/.test(number)) throw wrong(`"${number}" is not a number`)
    return Number(number)
  }
  const soft = read(softText)
  const hard = read(hardText)
  if (hard !== -1 && (soft === -1 || soft > hard)) throw wrong('the soft limit is above the hard limit')
  return { name, soft, hard }
}
