import { isStrataError, StrataError } from '../base/index.ts'
import { type Digest, parseDigest } from './digest.ts'
import { quoted } from './quoted.ts'
import { withoutPassword } from './withoutPassword.ts'

/**
 * Names an image: always whole, `debian` is `docker.io/library/debian` here. Grammar and normal form are those of
 * github.com/distribution/reference (package comment "Grammar"; "familiar" and "canonical" forms).
 */
export interface Reference {
  /** Registry host, with a port where one is named: `docker.io`, `localhost:5000`, `[::1]:5000`. */
  readonly domain: string
  /** Repository in that registry: `library/debian`. */
  readonly path: string
  readonly tag?: string
  readonly digest?: Digest
}

const DEFAULT_DOMAIN = 'docker.io'
/** What Docker called its registry until 2015; configurations still name it. */
const LEGACY_DEFAULT_DOMAIN = 'index.docker.io'
/** The namespace of the images that are named by one word. */
const OFFICIAL = 'library/'
const DEFAULT_TAG = 'latest'
/** distribution/reference RepositoryNameTotalLengthMax; the longest DNS name has 253 characters. */
const MAX_NAME = 255

const DOMAIN_NAME = /^(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])(?:\.(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9]))*$/
const IPV6_ADDRESS = /^\[[a-fA-F0-9:]+\]$/
const PATH = /^[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*$/
const TAG = /^\w[\w.-]{0,127}$/
/** Of a URL, or a transport as skopeo has them. */
const SCHEME = /^[a-z][a-z0-9+.-]{0,30}:\/\//i
const IDENTIFIER = /^[a-f0-9]{64}$/

/**
 * Reads a reference as people and registries write it: `[domain/]path[:tag][@digest]`.
 *
 * @returns the reference in normal form; a missing tag stays missing (see withDefaultTag)
 * @throws StrataError STRATA_REFERENCE_INVALID
 */
export function parseReference(text: string): Reference {
  if (text === '') throw invalid(text, 'a name has at least one character')
  if (IDENTIFIER.test(text)) throw invalid(text, 'a name cannot be 64 hexadecimal digits', 'Put sha256: before an image id.')
  const scheme = SCHEME.exec(text)?.[0]
  if (scheme !== undefined) throw invalid(text, `a name does not begin with "${scheme}"`, `Write it without "${scheme}".`)
  if (withoutPassword(text) !== text) throw invalid(text, 'a name has no password in it', 'Sign in with `strata login`.')
  const at = text.indexOf('@')
  const { domain, rest } = splitDomain(at === -1 ? text : text.slice(0, at))
  const colon = rest.indexOf(':')
  const path = colon === -1 ? rest : rest.slice(0, colon)
  checkDomain(text, domain)
  checkPath(text, path)
  const tag = colon === -1 ? undefined : rest.slice(colon + 1)
  if (tag !== undefined && !TAG.test(tag)) throw invalid(text, `its tag is not one to 128 of letters, digits, "_", "." and "-"`)
  return {
    domain,
    path,
    ...(tag === undefined ? {} : { tag }),
    ...(at === -1 ? {} : { digest: digestIn(text, text.slice(at + 1)) }),
  }
}

/**
 * The name in a text that names no registry, without tag and digest: what a short-name alias may stand for
 * (containers-registries.conf(5), "Short-Name Aliasing"). Undefined for a text that names one, and for what is no reference.
 */
export function shortNameIn(text: string): string | undefined {
  const [, name = ''] = /^([^:@]*)/.exec(text) ?? []
  const slash = name.indexOf('/')
  const isShort = name.length <= MAX_NAME && PATH.test(name) && (slash === -1 || !isDomain(name.slice(0, slash)))
  // Tags and digests have no slash; ports and transports are followed by one.
  return isShort && !text.slice(name.length).includes('/') ? name : undefined
}

/** Splits off the registry, and puts in what short names leave out. */
function splitDomain(name: string): { readonly domain: string; readonly rest: string } {
  const slash = name.indexOf('/')
  const first = slash === -1 ? '' : name.slice(0, slash)
  if (!isDomain(first)) return { domain: DEFAULT_DOMAIN, rest: slash === -1 ? OFFICIAL + name : name }
  const domain = first === LEGACY_DEFAULT_DOMAIN ? DEFAULT_DOMAIN : first
  const rest = name.slice(slash + 1)
  return { domain, rest: domain === DEFAULT_DOMAIN && !rest.includes('/') ? OFFICIAL + rest : rest }
}

/** Whether the part before the first slash is a registry: nothing that could be a path component on Docker Hub is, but for localhost. */
function isDomain(first: string): boolean {
  return first === 'localhost' || /[.:]/.test(first) || first.toLowerCase() !== first
}

function checkDomain(text: string, domain: string): void {
  const [, host = '', port] = /^(.*?)(?::([0-9]+))?$/s.exec(domain) ?? []
  if (domain.length > MAX_NAME || (!DOMAIN_NAME.test(host) && !IPV6_ADDRESS.test(host))) {
    throw invalid(text, `${quoted(domain)} is not a host name with an optional port`)
  }
  if (port !== undefined && (Number(port) > 65_535 || Number(port) === 0))
    throw invalid(text, `the port ${quoted(port)} is not between 1 and 65535`)
}

function checkPath(text: string, path: string): void {
  // Before the expression is tried, so that its time is bounded.
  if (path.length > MAX_NAME) throw invalid(text, `its name has ${path.length} characters, more than ${MAX_NAME}`)
  if (PATH.test(path)) return
  if (PATH.test(path.toLowerCase())) throw invalid(text, 'a repository name has only lower-case letters')
  throw invalid(text, 'a repository name has lower-case letters and digits, separated by "/", ".", "_", "__" or "-"')
}

function digestIn(text: string, digest: string): Digest {
  try {
    return parseDigest(digest)
  } catch (cause) {
    throw invalid(text, 'what follows "@" is no digest, sha256:<64 lower-case hex>', undefined, cause)
  }
}

function invalid(text: string, state: string, hint?: string, cause?: unknown): StrataError {
  return new StrataError(
    'invalidArgument',
    'STRATA_REFERENCE_INVALID',
    `Cannot parse reference ${quoted(withoutPassword(text))}: ${state}`,
    {
      ...(hint === undefined ? {} : { hint }),
      ...(cause === undefined ? {} : { cause }),
    },
  )
}

/** The canonical form, with everything in it: `docker.io/library/debian:12@sha256:…`. */
export function formatReference(reference: Reference): string {
  return `${reference.domain}/${reference.path}${suffix(reference)}`
}

/**
 * The form that people type and docker prints: `debian:12`, `team/app`, `localhost:5000/app@sha256:…`. parseReference
 * gives the same reference again. For docker's REPOSITORY column pass domain and path only.
 */
export function familiarName(reference: Reference): string {
  const { domain, path } = reference
  const name = domain === DEFAULT_DOMAIN ? familiarPath(path, suffix(reference) === '') : `${domain}/${path}`
  return name + suffix(reference)
}

/** The familiar form of what formatReference gave, which need not be parsed again: a list of images asks for thousands. */
export function familiarForm(canonical: string): string {
  if (!canonical.startsWith(`${DEFAULT_DOMAIN}/`)) return canonical
  const [, path = '', suffix = ''] = /^[^/]+\/([^:@]+)(.*)$/s.exec(canonical) ?? []
  return familiarPath(path, suffix === '') + suffix
}

/** Leaves out of a path on Docker Hub what parseReference puts in, unless the rest would be read as something else. */
function familiarPath(path: string, alone: boolean): string {
  const [first = '', second, ...more] = path.split('/')
  if (`${first}/` === OFFICIAL && second !== undefined && more.length === 0) return alone && IDENTIFIER.test(second) ? path : second
  return isDomain(first) ? `${DEFAULT_DOMAIN}/${path}` : path
}

function suffix({ tag, digest }: Reference): string {
  return (tag === undefined ? '' : `:${tag}`) + (digest === undefined ? '' : `@${digest}`)
}

/**
 * The reference with `tag` in place of its tag; a digest stays.
 *
 * @throws StrataError STRATA_REFERENCE_INVALID
 */
export function withTag(reference: Reference, tag: string): Reference {
  if (!TAG.test(tag)) throw invalid(tag, 'a tag is one to 128 of letters, digits, "_", "." and "-"')
  return { ...reference, tag }
}

/** Whether a value is a tag: text that may stand after the colon of a reference. */
export function isTag(value: unknown): value is string {
  return typeof value === 'string' && TAG.test(value)
}

/** What a text means as a name of an image, `latest` where it says nothing else; undefined for what can be no name. */
export function findReference(text: string): Reference | undefined {
  try {
    return withDefaultTag(parseReference(text))
  } catch (error) {
    if (isStrataError(error, 'invalidArgument')) return undefined
    throw error
  }
}

/** The reference with the tag `latest` when it has neither tag nor digest. */
export function withDefaultTag(reference: Reference): Reference {
  return reference.tag === undefined && reference.digest === undefined ? withTag(reference, DEFAULT_TAG) : reference
}
