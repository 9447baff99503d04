import { StrataError } from '../base/index.ts'
import { type Digest, digestAlgorithm, digestHex } from './digest.ts'
import { type DocumentKind, readDocument } from './document.ts'
import { quoted } from './quoted.ts'

/** The layout version that Strata writes, and the only one there is. image-spec image-layout.md#oci-layout-file */
export const IMAGE_LAYOUT_VERSION = '1.0.0'

/** Names of files in an image layout. image-spec image-layout.md#content */
export const IMAGE_LAYOUT = { header: 'oci-layout', index: 'index.json', blobs: 'blobs' } as const

/** The content of the `oci-layout` file. */
export interface ImageLayout {
  readonly imageLayoutVersion: string
}

/** Annotation names. image-spec annotations.md; the last is what containerd and Docker write beside it. */
export const ANNOTATIONS = {
  /** In index.json: the tag, or any name, of an image. */
  refName: 'org.opencontainers.image.ref.name',
  created: 'org.opencontainers.image.created',
  baseName: 'org.opencontainers.image.base.name',
  baseDigest: 'org.opencontainers.image.base.digest',
  /** In index.json: the whole reference of an image. */
  containerdName: 'io.containerd.image.name',
} as const

const LAYOUT: DocumentKind = { name: 'image layout', code: 'STRATA_IMAGE_LAYOUT_INVALID', maxBytes: 64 * 1024 }

/**
 * Reads an `oci-layout` file.
 *
 * @throws StrataError STRATA_IMAGE_LAYOUT_INVALID, or STRATA_IMAGE_LAYOUT_VERSION (kind unsupported)
 */
export function parseImageLayout(bytes: Uint8Array): ImageLayout {
  const fields = readDocument(bytes, LAYOUT)
  const version = fields.require('imageLayoutVersion', fields.string('imageLayoutVersion'))
  if (version !== IMAGE_LAYOUT_VERSION) {
    throw new StrataError(
      'unsupported',
      'STRATA_IMAGE_LAYOUT_VERSION',
      `Cannot read image layout: its version is ${quoted(version)}, expected "${IMAGE_LAYOUT_VERSION}"`,
    )
  }
  return fields.with<ImageLayout>({ imageLayoutVersion: version })
}

/** Where a blob is, from the root of a layout: `blobs/sha256/<hex>`. image-spec image-layout.md#blobs */
export function blobPath(digest: Digest): string {
  return `${IMAGE_LAYOUT.blobs}/${digestAlgorithm(digest)}/${digestHex(digest)}`
}
