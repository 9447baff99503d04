import { resolve } from 'node:path'
import type { MountOptions } from '../../engine/index.ts'
import { parseBytes } from '../sizes.ts'
import { invalidFlag, present } from './flagValues.ts'

type Bind = NonNullable<MountOptions['bind']>
type Volume = NonNullable<MountOptions['volume']>

const PROPAGATIONS = ['private', 'rprivate', 'shared', 'rshared', 'slave', 'rslave'] as const
const RECURSIONS = ['enabled', 'disabled', 'writable', 'readonly'] as const
const TYPES = ['bind', 'volume', 'tmpfs', 'image'] as const

interface Asked {
  type: MountOptions['type']
  source?: string
  target?: string
  readOnly?: boolean
  bind: { -readonly [K in keyof Bind]: Bind[K] }
  volume: { -readonly [K in keyof Volume]: Volume[K] }
  labels: Record<string, string>
  driverOptions: Record<string, string>
  tmpfs: { sizeBytes?: number; mode?: number }
  image: { subpath?: string }
  /** The types of mount for which each given key makes sense. */
  keys: { readonly key: string; readonly types: readonly MountOptions['type'][] }[]
}

/**
 * Reads a `--mount`: `type=bind,source=/a,target=/b,readonly` and docker's other keys, with quotes as
 * in CSV around a field that has a comma.
 */
export function readMount(text: string): MountOptions {
  const wrong = (state: string): Error => invalidFlag(`--mount "${text}"`, state)
  const asked: Asked = { type: 'volume', bind: {}, volume: {}, labels: {}, driverOptions: {}, tmpfs: {}, image: {}, keys: [] }
  for (const field of splitFields(text, wrong)) readField(field, asked, wrong)

  if (asked.target === undefined) throw wrong('no target is given')
  if (asked.type === 'bind' && asked.source === undefined) throw wrong('no source is given')
  if (asked.type === 'image' && asked.source === undefined) throw wrong('no source is given')
  if (asked.type === 'tmpfs' && asked.source !== undefined) throw wrong('a tmpfs has no source')
  for (const { key, types } of asked.keys) {
    if (!types.includes(asked.type)) throw wrong(`"${key}" has no meaning for a mount of type ${asked.type}`)
  }
  const some = <T extends object>(part: T): T | undefined => (Object.keys(part).length === 0 ? undefined : part)
  return present<MountOptions>({
    type: asked.type,
    source: asked.type === 'bind' ? resolve(asked.source!) : asked.source,
    target: asked.target,
    readOnly: asked.readOnly,
    bind: some(asked.bind),
    volume: some(
      present<Volume>({
        noCopy: asked.volume.noCopy,
        labels: some(asked.labels),
        driver: asked.volume.driver,
        driverOptions: some(asked.driverOptions),
        subpath: asked.volume.subpath,
      }),
    ),
    image: some(asked.image),
    tmpfs: some(asked.tmpfs),
  })
}

function readField(field: string, asked: Asked, wrong: (state: string) => Error): void {
  const equals = field.indexOf('=')
  const key = (equals === -1 ? field : field.slice(0, equals)).toLowerCase()
  const value = equals === -1 ? undefined : field.slice(equals + 1)
  const needed = (): string => value ?? raise(wrong(`"${key}" has no value`))
  const truth = (): boolean => {
    if (value === undefined || /^(?:1|true)$/i.test(value)) return true
    return /^(?:0|false)$/i.test(value) ? false : raise(wrong(`"${key}" is neither true nor false`))
  }
  const oneOf = <W extends string>(words: readonly W[]): W =>
    words.find(word => word === needed()) ?? raise(wrong(`"${key}" is none of ${words.join(', ')}`))
  const only = (...types: readonly MountOptions['type'][]): void => void asked.keys.push({ key, types })

  switch (key) {
    case 'type':
      asked.type = oneOf(TYPES)
      return
    case 'source':
    case 'src':
      asked.source = needed()
      return
    case 'target':
    case 'dst':
    case 'destination':
      asked.target = needed()
      return
    case 'readonly':
    case 'ro':
      asked.readOnly = truth()
      return
    case 'consistency':
      return
    case 'bind-propagation':
      only('bind')
      asked.bind.propagation = oneOf(PROPAGATIONS)
      return
    case 'bind-recursive':
      only('bind')
      asked.bind.recursive = oneOf(RECURSIONS)
      return
    case 'bind-nonrecursive':
      only('bind')
      asked.bind.recursive = truth() ? 'disabled' : 'enabled'
      return
    case 'bind-create-src':
      only('bind')
      asked.bind.createSource = truth()
      return
    case 'volume-nocopy':
      only('volume')
      asked.volume.noCopy = truth()
      return
    case 'volume-subpath':
      only('volume')
      asked.volume.subpath = needed()
      return
    case 'volume-driver':
      only('volume')
      asked.volume.driver = needed()
      return
    case 'volume-label':
      only('volume')
      addPair(asked.labels, needed())
      return
    case 'volume-opt':
      only('volume')
      addPair(asked.driverOptions, needed())
      return
    case 'image-subpath':
      only('image')
      asked.image.subpath = needed()
      return
    case 'tmpfs-size':
      only('tmpfs')
      try {
        asked.tmpfs.sizeBytes = parseBytes(needed())
      } catch {
        throw wrong(`"${value}" is not a size`)
      }
      return
    case 'tmpfs-mode':
      only('tmpfs')
      if (!/^[0-7]{1,4}$/.test(needed())) throw wrong(`"${value}" is not an octal mode`)
      asked.tmpfs.mode = Number.parseInt(needed(), 8)
      return
    default:
      throw wrong(`there is no key "${key}"`)
  }
}

function addPair(map: Record<string, string>, text: string): void {
  const equals = text.indexOf('=')
  map[equals === -1 ? text : text.slice(0, equals)] = equals === -1 ? '' : text.slice(equals + 1)
}

function raise(error: Error): never {
  throw error
}

/** Fields of one CSV line: a field in quotes may hold commas, and a quote as two. */
function splitFields(text: string, wrong: (state: string) => Error): readonly string[] {
  const fields: string[] = []
  const field = /(?:"((?:[^"]|"")*)"|([^",]*))(,|$)/y
  for (;;) {
    const found = field.exec(text)
    if (found === null) throw wrong('a quote is not closed, or stands inside a field')
    const [, quoted, plain = '', separator] = found
    const value = quoted === undefined ? plain : quoted.replaceAll('""', '"')
    if (value === '') throw wrong('a field is empty')
    fields.push(value)
    if (separator === '') return fields
  }
}
