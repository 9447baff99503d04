import { createPublicKey, type KeyObject, verify } from 'node:crypto'
import { StrataError } from '../base/index.ts'

/** Who may sign: a public key that signatures are verified with. */
export type PublicKey = KeyObject

/** Bytes of a key file: an RSA key of 16,384 bits has 3 KiB. */
const MAX_KEY_BYTES = 64 * 1024
const MIN_RSA_BITS = 2048
const CURVES: ReadonlySet<string | undefined> = new Set(['prime256v1', 'secp384r1', 'secp521r1'])
/** RFC 7468 §13, and PKCS #1 as OpenSSL writes it. A private key or a certificate is not taken for a public key. */
const PUBLIC_KEY = /^\s*-----BEGIN ((?:RSA )?PUBLIC KEY)-----\r?\n[A-Za-z0-9+/=\s]+-----END \1-----\s*$/

/**
 * Reads a public key as `cosign generate-key-pair` writes it: one PEM block, ECDSA, RSA of at least 2048 bits, or Ed25519.
 *
 * @param place for messages: the path of the file, or where in the policy the key stands
 * @throws StrataError STRATA_PUBLIC_KEY_INVALID
 */
export function parsePublicKey(bytes: Uint8Array, place: string): PublicKey {
  const text = bytes.length > MAX_KEY_BYTES ? '' : Buffer.from(bytes).toString('latin1')
  const label = PUBLIC_KEY.exec(text)?.[1]
  if (label === undefined) throw invalid(place, 'it is not one public key in PEM')
  let key: PublicKey
  try {
    key = createPublicKey({ key: text, format: 'pem', type: label === 'PUBLIC KEY' ? 'spki' : 'pkcs1' })
  } catch (cause) {
    throw invalid(place, 'it is damaged, or of an unknown kind', cause)
  }
  const details = key.asymmetricKeyDetails
  const isKnown =
    key.asymmetricKeyType === 'ed25519' ||
    (key.asymmetricKeyType === 'ec' && CURVES.has(details?.namedCurve)) ||
    (key.asymmetricKeyType === 'rsa' && (details?.modulusLength ?? 0) >= MIN_RSA_BITS)
  if (!isKnown) throw invalid(place, `it is neither ECDSA, nor RSA of at least ${MIN_RSA_BITS} bits, nor Ed25519`)
  return key
}

function invalid(place: string, state: string, cause?: unknown): StrataError {
  return new StrataError('invalidArgument', 'STRATA_PUBLIC_KEY_INVALID', `Cannot use public key ${place}: ${state}`, {
    ...(cause === undefined ? {} : { cause }),
    hint: 'A key is as `cosign public-key` prints it; several go into keyPaths or keyDatas.',
  })
}

/**
 * Whether `signature` over `bytes` is of the key: ECDSA in DER and RSA by PKCS #1 v1.5, both over SHA-256 whatever the
 * key, or Ed25519. cosign SIGNATURE_SPEC.md "Signature Schemes"; the hash is that of the registry's digests
 */
export function isSignedBy(key: PublicKey, bytes: Uint8Array, signature: Uint8Array): boolean {
  return verify(key.asymmetricKeyType === 'ed25519' ? null : 'sha256', bytes, { key, dsaEncoding: 'der' }, signature)
}
