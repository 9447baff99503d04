import { type Digest, type DocumentKind, type Fields, parseReference, type Reference, readDocument } from '../oci/index.ts'

/** What a signature in cosign's simple signing format says. */
export interface SignedClaim {
  readonly digest: Digest
  /** The name that the image was signed for; mostly a repository without a tag. */
  readonly reference: Reference
}

/** Bytes of a payload; cosign's have about 250. */
export const MAX_PAYLOAD_BYTES: number = 64 * 1024
const PAYLOAD: DocumentKind = { name: 'signature payload', code: 'STRATA_SIGNATURE_INVALID', maxBytes: MAX_PAYLOAD_BYTES }
/** cosign SIGNATURE_SPEC.md "Simple Signing" */
const TYPE = 'cosign container image signature'

/**
 * Reads what was signed: exactly the fields of containers-signature(5) "JSON Data Format", each once, so that it has one meaning.
 *
 * @throws StrataError STRATA_SIGNATURE_INVALID, or STRATA_REFERENCE_INVALID for an identity that is no name
 */
export function parseSimpleSigning(bytes: Uint8Array): SignedClaim {
  const payload = readDocument(bytes, PAYLOAD)
  checkNames(payload, ['critical', 'optional'])
  const critical = payload.require('critical', payload.object('critical'))
  checkNames(critical, ['type', 'image', 'identity'])
  if (critical.string('type') !== TYPE) throw critical.error('type', `is not "${TYPE}"`)
  const image = critical.require('image', critical.object('image'))
  checkNames(image, ['docker-manifest-digest'])
  const identity = critical.require('identity', critical.object('identity'))
  checkNames(identity, ['docker-reference'])
  // cosign writes null where there is nothing optional.
  const optional = payload.object('optional')
  optional?.string('creator')
  optional?.integer('timestamp')
  const digest = image.require('docker-manifest-digest', image.digest('docker-manifest-digest'))
  return { digest, reference: parseReference(identity.require('docker-reference', identity.string('docker-reference'))) }
}

/** All of these and no others. */
function checkNames(fields: Fields, names: readonly string[]): void {
  fields.refuseOthers(names)
  for (const name of names) if (!fields.names.includes(name)) throw fields.error(name, 'is missing')
}
