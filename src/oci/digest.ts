import { hash } from 'node:crypto'
import { StrataError } from '../base/index.ts'
import { quoted } from './quoted.ts'

declare const identity: unique symbol

/** Names bytes by their hash: `sha256:<64 hex>` or `sha512:<128 hex>`. image-spec descriptor.md#digests */
export type Digest = string & { readonly [identity]: 'Digest' }
/** Digest of an uncompressed layer tar: `sha256:<64 hex>`. image-spec config.md#layer-diffid */
export type DiffId = string & { readonly [identity]: 'DiffId' }
/** Identity of a stack of layers: `sha256:<64 hex>`. image-spec config.md#layer-chainid */
export type ChainId = string & { readonly [identity]: 'ChainId' }
/** Digest of an image config: `sha256:<64 hex>`. image-spec config.md#imageid */
export type ImageId = string & { readonly [identity]: 'ImageId' }

/** The registered algorithms that Strata computes. image-spec descriptor.md#registered-algorithms */
export type DigestAlgorithm = 'sha256' | 'sha512'

// The generic grammar allows more; of the registered algorithms each has one length and lower case only.
const DIGEST = /^(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$/
const SHA256 = /^sha256:[0-9a-f]{64}$/

/** Tells whether `text` is a digest, without an exception. */
export function isDigest(text: string): text is Digest {
  return DIGEST.test(text)
}

const isSha256 = (text: string): text is DiffId => SHA256.test(text)

/**
 * Reads a digest. Nothing else may become a path or a URL, so this is the only way from text to Digest.
 * A DiffId or ImageId is read as the Digest of the same bytes by passing it here.
 *
 * @throws StrataError STRATA_DIGEST_INVALID. image-spec descriptor.md#digests
 */
export function parseDigest(text: string): Digest {
  if (isDigest(text)) return text
  throw invalidDigest('digest', text, 'expected sha256:<64 lower-case hex> or sha512:<128 lower-case hex>')
}

/** Reads a DiffId. @throws StrataError STRATA_DIGEST_INVALID */
export function parseDiffId(text: string): DiffId {
  if (isSha256(text)) return text
  throw invalidDigest('diff id', text, 'expected sha256:<64 lower-case hex>')
}

function invalidDigest(what: string, text: string, state: string): StrataError {
  return new StrataError('invalidArgument', 'STRATA_DIGEST_INVALID', `Cannot parse ${what} ${quoted(text)}: ${state}`)
}

/** The digest of `bytes`. */
export function digestOf(bytes: Uint8Array, algorithm: DigestAlgorithm = 'sha256'): Digest {
  return `${algorithm}:${hash(algorithm, bytes)}` as Digest
}

/** The id of the image whose config is `bytes`, byte for byte. image-spec config.md#imageid */
export function imageIdOf(bytes: Uint8Array): ImageId {
  return digestOf(bytes) as string as ImageId
}

/** `sha256` of `sha256:…`. */
export function digestAlgorithm(digest: Digest | DiffId | ChainId | ImageId): DigestAlgorithm {
  return digest.startsWith('sha512:') ? 'sha512' : 'sha256'
}

/** The hexadecimal part, without the algorithm. */
export function digestHex(digest: Digest | DiffId | ChainId | ImageId): string {
  return digest.slice(digest.indexOf(':') + 1)
}

/**
 * The identities of the stacks that `diffIds` (base first) build up: element n is the ChainId of the first n + 1 layers.
 * ChainID(L₀) = DiffID(L₀); ChainID(L₀|…|Lₙ) = SHA256(ChainID(L₀|…|Lₙ₋₁) + " " + DiffID(Lₙ)). image-spec config.md#layer-chainid
 */
export function chainIds(diffIds: readonly DiffId[]): ChainId[] {
  const chain: ChainId[] = []
  for (const diffId of diffIds) {
    const below = chain.at(-1)
    chain.push((below === undefined ? diffId : `sha256:${hash('sha256', `${below} ${diffId}`)}`) as ChainId)
  }
  return chain
}
