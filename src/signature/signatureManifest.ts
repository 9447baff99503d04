import { type Descriptor, type Digest, digestAlgorithm, digestHex, type ImageManifest } from '../oci/index.ts'

/** Of the layers that are payloads, and of the artifact that cosign makes where it uses referrers. cosign SIGNATURE_SPEC.md "Payload and mediaType" */
const PAYLOAD_TYPE = 'application/vnd.dev.cosign.simplesigning.v1+json'
const ARTIFACT_TYPE = 'application/vnd.dev.cosign.artifact.sig.v1+json'
/** cosign BUNDLE_SPEC.md "Publishing" */
const BUNDLE_TYPE = /^application\/vnd\.dev\.sigstore\.bundle[.+]/
/** cosign SIGNATURE_SPEC.md "Signature" */
const SIGNATURE_ANNOTATION = 'dev.cosignproject.cosign/signature'
/** What cosign 2.6 puts into the lists of referrers that it keeps, where a bundle's type belongs. */
const EMPTY_TYPE = 'application/vnd.oci.empty.v1+json'

/** A layer of a signature's manifest: what is signed is in its blob. */
export interface SignatureLayer {
  readonly descriptor: Descriptor
  /** Base64. */
  readonly signature: string
}

/**
 * The tag below which cosign keeps the signatures of a manifest; undefined for a digest that is too long for a tag.
 * cosign SIGNATURE_SPEC.md "Tag-based Discovery"
 */
export function signatureTag(digest: Digest): string | undefined {
  return digestAlgorithm(digest) === 'sha256' ? `sha256-${digestHex(digest)}.sig` : undefined
}

/** Whether what refers to an image may be a signature of it, by what a list says of it. */
export function maySign(referrer: Descriptor): boolean {
  const { artifactType } = referrer
  return artifactType === undefined || artifactType === ARTIFACT_TYPE || artifactType === EMPTY_TYPE || BUNDLE_TYPE.test(artifactType)
}

/** Whether a manifest holds a sigstore bundle. */
export function isBundle({ artifactType, layers }: ImageManifest): boolean {
  return BUNDLE_TYPE.test(artifactType ?? '') || layers.some(({ mediaType }) => BUNDLE_TYPE.test(mediaType))
}

/** The signatures that a manifest holds, of which one image may have many; none for another artifact. */
export function signatureLayers({ layers }: ImageManifest): readonly SignatureLayer[] {
  return layers.flatMap(descriptor => {
    const signature = descriptor.annotations?.[SIGNATURE_ANNOTATION]
    return descriptor.mediaType === PAYLOAD_TYPE && signature !== undefined ? [{ descriptor, signature }] : []
  })
}
