import { isStrataError } from '../base/index.ts'
import { type Digest, familiarName, type Reference } from '../oci/index.ts'
import type { KeySource, Requirement, Requirements } from './policy.ts'
import { isSignedBy, parsePublicKey, type PublicKey } from './publicKey.ts'
import { parseSimpleSigning } from './simpleSigning.ts'
import { isIdentityAccepted } from './signedIdentity.ts'

/** A signature as it is found; nothing of it is known to be true. @property manifest that has it */
export type Signature =
  /** @property payload what is signed @property signature base64 */
  | { readonly manifest: Digest; readonly payload: Uint8Array; readonly signature: string }
  /** One that cannot count. @property fault why: `cannot be read` */
  | { readonly manifest: Digest; readonly fault: string }

/** What a signature must be for. */
export interface SignedImage {
  /** What it is called where it comes from, with a tag or a digest; undefined where it has no name. */
  readonly reference: Reference | undefined
  /** The digests under which it may be signed: its manifest's, and those of the indexes that it was chosen from. */
  readonly digests: readonly Digest[]
}

export interface EvaluateOptions {
  /** The content of a key file; rejects where it cannot be read. */
  readonly readKey: (path: string) => Promise<Uint8Array>
  /** Read only where a requirement asks for signatures, and no further than needed. */
  readonly signatures: AsyncIterable<Signature>
}

export type Verdict =
  /** @property counted the manifests of the signatures that made it so */
  | { readonly isAccepted: true; readonly counted: ReadonlySet<Digest> }
  /** @property reason why, to stand in a sentence @property lacksSignature whether another signature could make it accepted */
  | { readonly isAccepted: false; readonly reason: string; readonly lacksSignature: boolean }

type SigstoreSigned = Extract<Requirement, { readonly type: 'sigstoreSigned' }>

/** Base64 of the largest RSA signature, generously. */
const MAX_SIGNATURE_CHARACTERS = 8192
/** Reasons in one message. */
const MAX_REASONS = 5

/**
 * Decides whether an image fulfils all requirements. containers-policy.json(5) "Policy Requirements"
 *
 * Rejects with `invalidArgument` (STRATA_PUBLIC_KEY_INVALID) for a key that is none, as `readKey` does, and as `signatures` do.
 */
export async function evaluateRequirements(requirements: Requirements, image: SignedImage, options: EvaluateOptions): Promise<Verdict> {
  for (const requirement of requirements) {
    if (requirement.type === 'reject') return { isAccepted: false, reason: 'reject', lacksSignature: false }
    if (requirement.type === 'unsupported')
      return { isAccepted: false, reason: `unsupported requirement: ${requirement.what}`, lacksSignature: false }
  }
  const trials = await Promise.all(
    requirements.filter(isAboutSignatures).map(async each => new SignatureTrial(each, await keysOf(each, options), image)),
  )
  if (trials.length === 0) return { isAccepted: true, counted: new Set() }
  for await (const signature of options.signatures) {
    for (const trial of trials) trial.judge(signature)
    if (trials.every(({ counted }) => counted !== undefined))
      return { isAccepted: true, counted: new Set(trials.map(({ counted }) => counted!)) }
  }
  return { isAccepted: false, reason: trials.find(({ counted }) => counted === undefined)!.reason, lacksSignature: true }
}

const isAboutSignatures = (requirement: Requirement): requirement is SigstoreSigned => requirement.type === 'sigstoreSigned'

async function keysOf({ keys }: SigstoreSigned, { readKey }: EvaluateOptions): Promise<readonly PublicKey[]> {
  const read = async (source: KeySource): Promise<PublicKey> =>
    'path' in source
      ? parsePublicKey(await readKey(source.path), `"${source.path}"`)
      : parsePublicKey(source.bytes, `${source.place} of the policy`)
  return Promise.all(keys.map(read))
}

/** Whether one of the signatures fulfils one requirement. */
class SignatureTrial {
  readonly #requirement: SigstoreSigned
  readonly #keys: readonly PublicKey[]
  readonly #image: SignedImage
  readonly #reasons: string[] = []
  #seen = 0
  /** The manifest of the signature that fulfils it. */
  counted: Digest | undefined

  constructor(requirement: SigstoreSigned, keys: readonly PublicKey[], image: SignedImage) {
    this.#requirement = requirement
    this.#keys = keys
    this.#image = image
  }

  get reason(): string {
    if (this.#seen === 0) return 'it must be signed, and there is no signature'
    const more = this.#seen - this.#reasons.length
    return `no signature of it counts: ${this.#reasons.join('; ')}${more > 0 ? `; and ${more} more` : ''}`
  }

  judge(signature: Signature): void {
    if (this.counted !== undefined) return
    this.#seen += 1
    const fault = this.#faultOf(signature)
    if (fault === undefined) this.counted = signature.manifest
    else if (this.#reasons.length < MAX_REASONS) this.#reasons.push(`signature ${signature.manifest} ${fault}`)
  }

  /** Nothing is read of what nobody who is trusted has signed. */
  #faultOf(found: Signature): string | undefined {
    if ('fault' in found) return found.fault
    const { payload, signature } = found
    const bytes = Buffer.from(signature.slice(0, MAX_SIGNATURE_CHARACTERS), 'base64')
    if (signature === '' || bytes.toString('base64') !== signature) return 'is not base64'
    if (!this.#keys.some(key => isSignedBy(key, payload, bytes)))
      return `is by ${this.#keys.length === 1 ? 'another key' : 'none of the keys'}`
    try {
      const claim = parseSimpleSigning(payload)
      if (!this.#image.digests.includes(claim.digest)) return `is for ${claim.digest}`
      if (!isIdentityAccepted(this.#requirement.signedIdentity, claim.reference, this.#image.reference))
        return `is for the name "${familiarName(claim.reference)}", which ${this.#requirement.signedIdentity.type} does not accept`
      return undefined
    } catch (error) {
      if (isStrataError(error, 'invalidArgument')) return `says what cannot be read (${error.message})`
      throw error
    }
  }
}
