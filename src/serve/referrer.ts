import { type Descriptor, type Digest, type ManifestDocument } from '../oci/index.ts'

/** A manifest with a subject, as lists of referrers have it. */
export interface ReferrerOf {
  readonly subject: Digest
  readonly descriptor: Descriptor
}

/**
 * What a document says about another one: its descriptor with its artifact type (an image manifest without one has its
 * config's media type) and its annotations. distribution-spec "Listing Referrers"
 *
 * @returns undefined for a document without a subject
 */
export function referrerOf({ mediaType, digest, size }: Descriptor, document: ManifestDocument): ReferrerOf | undefined {
  const { subject, annotations, artifactType } = document.kind === 'index' ? document.index : document.manifest
  if (subject === undefined) return undefined
  const own = artifactType === undefined || artifactType === '' ? undefined : artifactType
  const type = own ?? (document.kind === 'manifest' ? document.manifest.config.mediaType : undefined)
  return {
    subject: subject.digest,
    descriptor: {
      mediaType,
      digest,
      size,
      ...(type === undefined ? {} : { artifactType: type }),
      ...(annotations === undefined ? {} : { annotations }),
    },
  }
}
