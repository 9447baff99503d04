import { type Digest, digestOf } from './digest.ts'
import type { Fields } from './document.ts'
import { decodePlatform, type Platform } from './platform.ts'

/** Text by name. image-spec annotations.md */
export type Annotations = Readonly<Record<string, string>>

/** Names a blob and says what it is. Unknown fields are kept. image-spec descriptor.md */
export interface Descriptor {
  readonly mediaType: string
  readonly digest: Digest
  /** Bytes of the blob, as stored. */
  readonly size: number
  readonly urls?: readonly string[]
  readonly annotations?: Annotations
  readonly platform?: Platform
  readonly artifactType?: string
  /** The blob itself, base64. Whoever uses it verifies it as any other bytes. */
  readonly data?: string
}

/** The descriptor of `bytes`. */
export function describeBytes(mediaType: string, bytes: Uint8Array): Descriptor {
  return { mediaType, digest: digestOf(bytes), size: bytes.length }
}

/** Checks one descriptor of a document. image-spec descriptor.md#properties */
export function decodeDescriptor(fields: Fields): Descriptor {
  const platform = fields.object('platform')
  return fields.with<Descriptor>({
    mediaType: fields.require('mediaType', fields.mediaType('mediaType')),
    digest: fields.require('digest', fields.digest('digest')),
    size: fields.require('size', fields.size('size')),
    urls: fields.strings('urls'),
    annotations: fields.stringMap('annotations'),
    platform: platform === undefined ? undefined : decodePlatform(platform),
    artifactType: fields.mediaType('artifactType'),
    data: fields.string('data'),
  })
}
