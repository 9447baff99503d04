import { formatReference, type Reference } from '../../oci/index.ts'
import { ConfigTable, configInvalid } from './configTable.ts'

/*
 * containers' registries.conf, version 2, and of version 1 what forbids or allows: containers-registries.conf(5).
 */

/** Where a namespace really is. */
export interface Endpoint {
  /** `host[:port][/path]`; undefined where names stay as they are. */
  readonly location: string | undefined
  /** TLS is not verified, and plain HTTP is allowed. */
  readonly insecure: boolean
}

export interface MirrorEndpoint extends Endpoint {
  readonly location: string
  readonly pullFromMirror: 'all' | 'digest-only' | 'tag-only'
}

/** A `[[registry]]` table: what holds for the names below a prefix. */
export interface RegistryTable extends Endpoint {
  /** `host[:port][/path…][:tag|@digest]`, or `*.host` for all names below it. */
  readonly prefix: string
  readonly blocked: boolean
  readonly mirrors: readonly MirrorEndpoint[]
  /** The file that says so. */
  readonly file: string
}

export interface RegistriesConf {
  readonly registries: readonly RegistryTable[]
  /** Short name → full name. */
  readonly aliases: ReadonlyMap<string, string>
}

/** The content of one file. @param document its parsed TOML @throws StrataError STRATA_CONFIG_INVALID */
export function registriesConfOf(document: unknown, file: string): RegistriesConf {
  const root = ConfigTable.of(document, file)
  const aliases = root.table('aliases')
  return {
    registries: [...root.tables('registry').map(table => registryTable(table, file)), ...versionOne(root, file)],
    aliases: new Map(aliases?.names.map(name => [name, aliases.text(name)!])),
  }
}

/** What several files say together: the later takes the place of what an earlier says of the same prefix or name; an alias of "" is none. */
export function mergeRegistriesConf(files: readonly RegistriesConf[]): RegistriesConf {
  const registries = new Map(files.flatMap(file => file.registries.map(table => [table.prefix, table] as const)))
  const aliases = new Map(files.flatMap(file => [...file.aliases]))
  for (const [name, target] of aliases) if (target === '') aliases.delete(name)
  return { registries: [...registries.values()], aliases }
}

function registryTable(table: ConfigTable, file: string): RegistryTable {
  const location = locationIn(table)
  const prefix = trimmed(table.text('prefix') ?? '') || location
  if (prefix === undefined) throw table.invalid('location', 'is missing, and there is no prefix')
  if (prefix.includes('*') && !/^\*\.[^*/:]+$/.test(prefix)) throw table.invalid('prefix', 'may have a "*" only as in "*.example.com"')
  const isWildcard = prefix.startsWith('*.')
  if (location?.includes('*') === true) throw table.invalid('location', 'has a "*"')
  const byDigestOnly = table.flag('mirror-by-digest-only') ?? false
  return {
    prefix,
    location: location ?? (isWildcard ? undefined : prefix),
    insecure: table.flag('insecure') ?? false,
    blocked: table.flag('blocked') ?? false,
    mirrors: table.tables('mirror').map(mirror => mirrorEndpoint(mirror, byDigestOnly)),
    file,
  }
}

function mirrorEndpoint(table: ConfigTable, byDigestOnly: boolean): MirrorEndpoint {
  const location = locationIn(table)
  if (location === undefined) throw table.invalid('location', 'is missing')
  const asked = table.text('pull-from-mirror') ?? ''
  if (asked !== '' && byDigestOnly) throw table.invalid('pull-from-mirror', 'cannot be together with mirror-by-digest-only')
  if (asked !== '' && asked !== 'all' && asked !== 'digest-only' && asked !== 'tag-only')
    throw table.invalid('pull-from-mirror', 'is none of "all", "digest-only" and "tag-only"')
  const pullFromMirror = byDigestOnly ? 'digest-only' : asked === '' ? 'all' : asked
  return { location, insecure: table.flag('insecure') ?? false, pullFromMirror }
}

function locationIn(table: ConfigTable): string | undefined {
  const location = trimmed(table.text('location') ?? '')
  if (location.includes('://')) throw table.invalid('location', 'has a scheme, which no location has')
  return location === '' ? undefined : location
}

const trimmed = (text: string): string => text.replace(/\/+$/, '')

/** `[registries.insecure]` and `[registries.block]` of version 1. */
function versionOne(root: ConfigTable, file: string): readonly RegistryTable[] {
  const old = root.table('registries')
  if (old === undefined) return []
  const listed = (name: string): readonly string[] => old.table(name)?.texts('registries') ?? []
  const [insecure, blocked] = [listed('insecure'), listed('block')]
  if (root.has('registry') && insecure.length + blocked.length > 0)
    throw configInvalid(file, 'it has tables of version 1 and of version 2 of its format')
  return [...new Set([...insecure, ...blocked])].map(text => {
    const location = trimmed(text)
    return { prefix: location, location, insecure: insecure.includes(text), blocked: blocked.includes(text), mirrors: [], file }
  })
}

/** The table with the longest prefix that a reference begins with; `x.example` is before `*.example`. */
export function findTable({ registries }: RegistriesConf, reference: Reference): RegistryTable | undefined {
  const name = formatReference(reference)
  const matching = registries.filter(({ prefix }) => matchedLength(name, prefix) !== undefined)
  const weight = ({ prefix }: RegistryTable): number => prefix.length + (prefix.startsWith('*.') ? 0 : 0.5)
  return matching.reduce<RegistryTable | undefined>(
    (best, table) => (best === undefined || weight(table) > weight(best) ? table : best),
    undefined,
  )
}

/** How much of a canonical name a prefix covers, which ends where a part of the name does. */
function matchedLength(name: string, prefix: string): number | undefined {
  if (prefix.startsWith('*.')) {
    const suffix = prefix.slice(1)
    const host = name.slice(0, name.indexOf('/')).replace(/:\d+$/, '')
    return host.endsWith(suffix) && host.length > suffix.length ? host.length : undefined
  }
  if (!name.startsWith(prefix)) return undefined
  return name.length === prefix.length || '/:@'.includes(name[prefix.length]!) ? prefix.length : undefined
}

/** The full name of a reference at an endpoint of the table that it belongs to. */
export function nameAt(endpoint: Endpoint, table: RegistryTable, reference: Reference): string {
  const name = formatReference(reference)
  return endpoint.location === undefined ? name : endpoint.location + name.slice(matchedLength(name, table.prefix))
}

/** The mirrors that a reference may be pulled from. */
export function mirrorsFor(table: RegistryTable, { digest }: Reference): readonly MirrorEndpoint[] {
  const without = digest === undefined ? 'digest-only' : 'tag-only'
  return table.mirrors.filter(({ pullFromMirror }) => pullFromMirror !== without)
}
