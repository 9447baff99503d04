import { type CallOptions, isStrataError, readAtMost, StrataError } from '../base/index.ts'
import type { BlobSource } from '../content/index.ts'
import { type Descriptor, type Digest, parseManifest } from '../oci/index.ts'
import { isBundle, MAX_PAYLOAD_BYTES, type Signature, type SignatureLayer, signatureLayers } from '../signature/index.ts'

/** A signature's manifest, with its bytes. */
export interface SignatureManifest {
  readonly descriptor: Descriptor
  readonly bytes: Uint8Array
}

/** Manifests and signatures of one image that are looked at. */
const MAX_SIGNATURES = 500

/**
 * The signatures in some manifests. Nothing about them has been verified but that each payload is what its digest says;
 * one that cannot be read is told as such, so that others count.
 *
 * @param source has the payloads
 * @param manifests undefined for one that is listed and not there: it counts as one that was looked at
 * Rejects as `source` and `manifests` do when they fail, and with `resourceExhausted` (STRATA_TOO_MANY_SIGNATURES) past 500.
 */
export async function* readSignatures(
  source: BlobSource,
  manifests: AsyncIterable<SignatureManifest | undefined>,
  options: CallOptions,
): AsyncGenerator<Signature> {
  // Who signs one image again and again signs the same words.
  const payloads = new Map<Digest, Uint8Array>()
  let seen = 0
  const count = (): void => {
    seen += 1
    if (seen <= MAX_SIGNATURES) return
    throw new StrataError(
      'resourceExhausted',
      'STRATA_TOO_MANY_SIGNATURES',
      `Cannot check the signatures of an image: none of the first ${MAX_SIGNATURES} counts, and there are more`,
    )
  }
  for await (const found of manifests) {
    count()
    if (found === undefined) continue
    const { descriptor, bytes } = found
    const manifest = descriptor.digest
    const layers = layersOf(descriptor, bytes)
    if (typeof layers === 'string') {
      yield { manifest, fault: layers }
      continue
    }
    for (const { descriptor: target, signature } of layers) {
      count()
      const payload = payloads.get(target.digest) ?? (await readPayload(source, target, options))
      if (typeof payload === 'string') yield { manifest, fault: payload }
      else {
        payloads.set(target.digest, payload)
        yield { manifest, payload, signature }
      }
    }
  }
}

/** Or what is wrong with the manifest. */
function layersOf(descriptor: Descriptor, bytes: Uint8Array): readonly SignatureLayer[] | string {
  try {
    const manifest = parseManifest(bytes, descriptor.mediaType)
    return isBundle(manifest)
      ? 'is a sigstore bundle, which names no image (make it with `cosign sign --new-bundle-format=false`)'
      : signatureLayers(manifest)
  } catch (error) {
    return faultOf(error)
  }
}

/** Or what is wrong with it. */
async function readPayload(source: BlobSource, target: Descriptor, options: CallOptions): Promise<Uint8Array | string> {
  if (target.size > MAX_PAYLOAD_BYTES) return `has a payload of ${target.size} bytes, more than ${MAX_PAYLOAD_BYTES}`
  try {
    return await readAtMost(await source.open(target, options), MAX_PAYLOAD_BYTES, `the payload ${target.digest}`)
  } catch (error) {
    return faultOf(error)
  }
}

/** Rethrows what is not about the bytes: a registry that does not answer, an interruption. */
function faultOf(error: unknown): string {
  const isAboutBytes = (['notFound', 'dataLoss', 'invalidArgument', 'unsupported', 'resourceExhausted'] as const).some(kind =>
    isStrataError(error, kind),
  )
  if (!isAboutBytes) throw error
  return `cannot be read (${(error as StrataError).message})`
}
