import { type Arguments, booleanOf } from './arguments.ts'
import type { RunMount } from './instruction.ts'

type Draft = { -readonly [Field in keyof RunMount]: RunMount[Field] }
type Read = (draft: Draft, value: string, fail: (state: string) => Error) => void

const TYPES = ['bind', 'cache', 'tmpfs', 'secret', 'ssh'] as const
const SHARINGS = ['shared', 'private', 'locked'] as const

const isReadOnly =
  (means: boolean): Read =>
  (draft, value, fail) => {
    const given = value === '' ? true : booleanOf(value)
    if (given === undefined) throw fail(`"${value}" is neither true nor false`)
    draft.readOnly = given === means
  }

const number =
  (field: 'uid' | 'gid' | 'mode'): Read =>
  (draft, value, fail) => {
    const isMode = field === 'mode'
    if (!(isMode ? /^0?[0-7]{1,4}$/ : /^\d{1,10}$/).test(value)) throw fail(`"${value}" is no ${isMode ? 'octal mode' : field}`)
    draft[field] = Number.parseInt(value, isMode ? 8 : 10)
  }

const text =
  (field: 'id' | 'from' | 'source' | 'target' | 'environment'): Read =>
  (draft, value) => {
    draft[field] = value
  }

/** Dockerfile reference, "RUN --mount"; the short names are those of `docker run --mount`. */
const OPTIONS: Readonly<Record<string, Read>> = {
  type: (draft, value, fail) => {
    const type = TYPES.find(each => each === value)
    if (type === undefined) throw fail(`there is no mount of type "${value}", only ${TYPES.join(', ')}`)
    draft.type = type
  },
  id: text('id'),
  from: text('from'),
  source: text('source'),
  src: text('source'),
  target: text('target'),
  dst: text('target'),
  destination: text('target'),
  env: text('environment'),
  readonly: isReadOnly(true),
  ro: isReadOnly(true),
  readwrite: isReadOnly(false),
  rw: isReadOnly(false),
  required: (draft, value, fail) => {
    const required = value === '' ? true : booleanOf(value)
    if (required === undefined) throw fail(`"${value}" is neither true nor false`)
    draft.required = required
  },
  sharing: (draft, value, fail) => {
    const sharing = SHARINGS.find(each => each === value)
    if (sharing === undefined) throw fail(`a cache is ${SHARINGS.join(', ')}, not "${value}"`)
    draft.sharing = sharing
  },
  mode: number('mode'),
  uid: number('uid'),
  gid: number('gid'),
  size: (draft, value, fail) => {
    const sizeBytes = bytesOf(value)
    if (sizeBytes === undefined) throw fail(`"${value}" is no size`)
    draft.sizeBytes = sizeBytes
  },
}

/** What each type of mount can have besides its type and target. */
const ALLOWED: Readonly<Record<RunMount['type'], readonly (keyof RunMount)[]>> = {
  bind: ['from', 'source', 'readOnly'],
  cache: ['id', 'from', 'source', 'readOnly', 'sharing', 'mode', 'uid', 'gid'],
  tmpfs: ['sizeBytes'],
  secret: ['id', 'environment', 'required', 'mode', 'uid', 'gid'],
  ssh: ['id', 'required', 'mode', 'uid', 'gid'],
}

/**
 * Reads the value of `--mount`: `type=cache,target=/root/.cache`.
 *
 * @throws what `given.flagProblem` makes
 */
export function parseRunMount(given: Arguments, value: string): RunMount {
  const flag = given.flags.find(each => each.name === 'mount' && each.value === value)!
  const fail = (state: string): Error => given.flagProblem(flag, state)
  const draft: Draft = { type: 'bind' }
  for (const field of value.split(',')) {
    const equals = field.indexOf('=')
    const key = (equals < 0 ? field : field.slice(0, equals)).toLowerCase()
    const read = OPTIONS[key]
    if (read === undefined) throw fail(`a mount has no option "${key}"`)
    if (equals < 0 && !['readonly', 'ro', 'readwrite', 'rw', 'required'].includes(key)) throw fail(`the option "${key}" needs a value`)
    read(draft, equals < 0 ? '' : field.slice(equals + 1), fail)
  }
  const wrong = (Object.keys(draft) as (keyof RunMount)[]).find(
    key => key !== 'type' && key !== 'target' && !ALLOWED[draft.type].includes(key),
  )
  if (wrong !== undefined) throw fail(`a mount of type ${draft.type} has no "${wrong}"`)
  if (draft.target === undefined && draft.type !== 'secret' && draft.type !== 'ssh')
    throw fail(`a mount of type ${draft.type} needs a target`)
  return draft
}

const UNITS = ['b', 'k', 'm', 'g', 't']

/** `64m` → bytes, by 1024. */
function bytesOf(text: string): number | undefined {
  const [, digits, unit = 'b'] = /^(\d{1,15})([bkmgt])?b?$/i.exec(text) ?? []
  if (digits === undefined) return undefined
  const bytes = Number(digits) * 1024 ** UNITS.indexOf(unit.toLowerCase())
  return Number.isSafeInteger(bytes) ? bytes : undefined
}
