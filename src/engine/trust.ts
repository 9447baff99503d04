import { readFile } from 'node:fs/promises'
import { StrataError, systemError } from '../base/index.ts'
import { type Digest, familiarName, type Reference } from '../oci/index.ts'
import {
  evaluateRequirements,
  type ImagePlace,
  parsePolicy,
  requirementsFor,
  type Signature,
  type SignedImage,
} from '../signature/index.ts'
import { POLICY_REJECTED, type PolicyFile } from './policyFile.ts'

/** An image of which is asked whether it may be used. */
export interface TrustQuestion {
  /** For messages, as people write it. */
  readonly name: string
  /** Where it is: decides which requirements count. */
  readonly place: ImagePlace
  readonly image: SignedImage
  /** Read only where the policy asks for signatures. */
  readonly signatures: AsyncIterable<Signature>
  /** What can be done where it lacks a signature. */
  readonly hint?: string
}

/** What is said of an image that has neither a name where it comes from nor signatures. */
export const UNSIGNED: Pick<TrustQuestion, 'image' | 'signatures'> = {
  image: { reference: undefined, digests: [] },
  signatures: { async *[Symbol.asyncIterator]() {} },
}

/**
 * An image of a registry, or one that came from there.
 *
 * @param reference by which it is used: a digest in it says more than its tag
 * @param digests under which it may be signed: its manifest's, and those of the indexes that it was chosen from
 */
export function registryImage(reference: Reference, digests: readonly Digest[], signatures: AsyncIterable<Signature>): TrustQuestion {
  const { domain, path, digest } = reference
  const named = digest === undefined ? reference : { domain, path, digest }
  return {
    name: familiarName(reference),
    place: { transport: 'docker', reference: named },
    image: { reference: named, digests },
    signatures,
  }
}

/**
 * Resolves when the policy allows an image, with the manifests of the signatures that made it so.
 *
 * Rejects with `permissionDenied` (STRATA_POLICY_REJECTED, with what is wrong with each signature), and with
 * `invalidArgument` for a policy (STRATA_POLICY_INVALID) or a key (STRATA_PUBLIC_KEY_INVALID, STRATA_PUBLIC_KEY_UNREADABLE)
 * that is none: what cannot be understood allows nothing.
 */
export async function checkTrust(file: PolicyFile, { name, place, image, signatures, hint }: TrustQuestion): Promise<ReadonlySet<Digest>> {
  const policy = parsePolicy(file.bytes, file.path)
  // As podman has it: the general default is about what comes in.
  if (place.transport === 'containers-storage' && !policy.transports.has(place.transport)) return new Set()
  const { requirements, part } = requirementsFor(policy, place)
  const verdict = await evaluateRequirements(requirements, image, { readKey, signatures })
  if (verdict.isAccepted) return verdict.counted
  throw new StrataError(
    'permissionDenied',
    POLICY_REJECTED,
    `Cannot use image "${name}": the policy "${file.path}" rejects it (${part}: ${verdict.reason})`,
    hint === undefined || !verdict.lacksSignature ? {} : { hint },
  )
}

async function readKey(path: string): Promise<Uint8Array> {
  try {
    return await readFile(path)
  } catch (cause) {
    throw new StrataError('invalidArgument', 'STRATA_PUBLIC_KEY_UNREADABLE', systemError(`read public key "${path}"`, cause).message, {
      cause,
    })
  }
}
