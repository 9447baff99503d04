import { type DocumentKind, type Fields, quoted, readDocument } from '../oci/index.ts'
import { checkScope, type ImagePlace, scopesOf } from './scopes.ts'
import { decodeSignedIdentity, DEFAULT_IDENTITY, type SignedIdentity } from './signedIdentity.ts'

/** Where a key is: in a file, or in the policy itself. */
export type KeySource =
  | { readonly path: string }
  /** @property place where in the policy it stands, for messages */
  | { readonly bytes: Uint8Array; readonly place: string }

export type Requirement =
  | { readonly type: 'insecureAcceptAnything' | 'reject' }
  /** One of the keys has signed, for a name that `signedIdentity` accepts. */
  | { readonly type: 'sigstoreSigned'; readonly keys: readonly KeySource[]; readonly signedIdentity: SignedIdentity }
  /** One that Strata cannot check: no image fulfils it. @property what as it stands in the policy: `signedBy` */
  | { readonly type: 'unsupported'; readonly what: string }

/** All of them must be fulfilled; there is at least one. */
export type Requirements = readonly Requirement[]

/** Which images may be used. containers-policy.json(5) */
export interface Policy {
  readonly default: Requirements
  readonly transports: ReadonlyMap<string, ReadonlyMap<string, Requirements>>
}

const MAX_POLICY_BYTES = 1024 * 1024
const MAX_REQUIREMENTS = 100
const MAX_KEYS = 100

/** The ways to say who may sign, of which a requirement has one. Only keys are supported. */
const KEYS = ['keyPath', 'keyPaths', 'keyData', 'keyDatas'] as const
const SIGNERS = [...KEYS, 'fulcio', 'pki'] as const
const REKOR = ['rekorPublicKeyPath', 'rekorPublicKeyPaths', 'rekorPublicKeyData', 'rekorPublicKeyDatas'] as const
const GPG = ['keyPath', 'keyPaths', 'keyData'] as const

/**
 * Reads a `policy.json`. Everything in it has to be understood: unknown and repeated fields are errors. What Strata knows
 * but cannot check (`signedBy`, `fulcio`, `pki`, Rekor) is a requirement that no image fulfils.
 *
 * @param path of the file, for messages
 * @throws StrataError STRATA_POLICY_INVALID with the place in the file
 */
export function parsePolicy(bytes: Uint8Array, path: string): Policy {
  const kind: DocumentKind = { name: `signature policy ${quoted(path)}`, code: 'STRATA_POLICY_INVALID', maxBytes: MAX_POLICY_BYTES }
  const fields = readDocument(bytes, kind)
  fields.refuseOthers(['default', 'transports'])
  const transports = fields.object('transports')
  return {
    default: decodeRequirements(fields, 'default'),
    transports: new Map(
      transports?.names.map(name => [name, decodeScopes(transports.require(name, transports.object(name)), name)] as const),
    ),
  }
}

/** The requirements that count for an image, and which part of the policy they are: `default`, `scope "docker.io" of docker`. */
export interface ApplicableRequirements {
  readonly requirements: Requirements
  readonly part: string
}

/**
 * The requirements of the scope that fits an image most exactly.
 * containers-policy.json(5) "Format", "Supported transports and their scopes"
 */
export function requirementsFor(policy: Policy, place: ImagePlace): ApplicableRequirements {
  const scopes = policy.transports.get(place.transport)
  for (const scope of scopes === undefined ? [] : scopesOf(place)) {
    const requirements = scopes?.get(scope)
    if (requirements !== undefined) return { requirements, part: `scope ${quoted(scope)} of ${place.transport}` }
  }
  return { requirements: policy.default, part: 'default' }
}

function decodeScopes(fields: Fields, transport: string): ReadonlyMap<string, Requirements> {
  return new Map(
    fields.names.map(scope => {
      const fault = checkScope(transport, scope)
      if (fault !== undefined) throw fields.error(scope, fault)
      return [scope, decodeRequirements(fields, scope)] as const
    }),
  )
}

function decodeRequirements(fields: Fields, name: string): Requirements {
  const list = fields.require(name, fields.objects(name, MAX_REQUIREMENTS))
  if (list.length === 0) throw fields.error(name, 'is empty; to accept everything it has insecureAcceptAnything')
  return list.map(decodeRequirement)
}

function decodeRequirement(fields: Fields): Requirement {
  const type = fields.require('type', fields.string('type'))
  switch (type) {
    case 'insecureAcceptAnything':
    case 'reject':
      fields.refuseOthers(['type'])
      return { type }
    case 'signedBy':
      return decodeSignedBy(fields)
    case 'sigstoreSigned':
      return decodeSigstoreSigned(fields)
    default:
      throw fields.error('type', `is no requirement that is known: ${quoted(type)}`)
  }
}

function decodeSignedBy(fields: Fields): Requirement {
  fields.refuseOthers(['type', 'keyType', ...GPG, 'signedIdentity'])
  if (fields.string('keyType') !== 'GPGKeys') throw fields.error('keyType', 'is not "GPGKeys"')
  oneOf(fields, GPG)
  decodeIdentity(fields)
  return { type: 'unsupported', what: 'signedBy' }
}

function decodeSigstoreSigned(fields: Fields): Requirement {
  fields.refuseOthers(['type', ...SIGNERS, ...REKOR, 'signedIdentity'])
  const signer = oneOf(fields, SIGNERS)
  const signedIdentity = decodeIdentity(fields)
  const rekor = REKOR.find(name => fields.names.includes(name))
  const unsupported = signer === 'fulcio' || signer === 'pki' ? signer : rekor
  if (unsupported !== undefined) return { type: 'unsupported', what: `sigstoreSigned with ${unsupported}` }
  return { type: 'sigstoreSigned', keys: decodeKeys(fields, signer), signedIdentity }
}

function oneOf<Name extends string>(fields: Fields, names: readonly Name[]): Name {
  const [first, second] = names.filter(name => fields.names.includes(name))
  if (first === undefined) throw fields.error(undefined, `has none of ${names.join(', ')}`)
  if (second !== undefined) throw fields.error(undefined, `has both ${first} and ${second}`)
  return first
}

function decodeIdentity(fields: Fields): SignedIdentity {
  const identity = fields.object('signedIdentity')
  return identity === undefined ? DEFAULT_IDENTITY : decodeSignedIdentity(identity)
}

function decodeKeys(fields: Fields, name: string): readonly KeySource[] {
  const isList = name.endsWith('s')
  const texts = fields.require(name, isList ? fields.strings(name) : only(fields.string(name)))
  if (texts.length === 0 || texts.length > MAX_KEYS) throw fields.error(name, `has ${texts.length} keys, not 1 to ${MAX_KEYS}`)
  return texts.map((text, at) => {
    if (name.startsWith('keyPath')) {
      // A relative one would mean another key in every directory.
      if (!text.startsWith('/')) throw fields.error(name, `has a path that is not absolute: ${quoted(text)}`)
      return { path: text }
    }
    const bytes = Buffer.from(text, 'base64')
    if (text === '' || bytes.toString('base64') !== text) throw fields.error(name, 'is not base64')
    return { bytes, place: isList ? `${name}[${at}]` : name }
  })
}

const only = (text: string | undefined): readonly string[] | undefined => (text === undefined ? undefined : [text])
