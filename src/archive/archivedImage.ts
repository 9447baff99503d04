import type { Descriptor, DiffId, ImageConfig, Reference } from '../oci/index.ts'
import type { Extent } from './archiveFile.ts'

/** One layer of an image in an archive. */
export interface ArchivedLayer {
  readonly diffId: DiffId
  /** What the archive's manifest says of the bytes; undefined in archives without one, where they may be compressed or not. */
  readonly descriptor: Descriptor | undefined
  readonly extent: Extent
}

/** An image as an archive has it. Nothing is verified but the config's shape: whoever takes it in verifies. */
export interface ArchivedImage {
  readonly names: readonly Reference[]
  readonly config: ImageConfig
  readonly configBytes: Buffer
  /** The manifest, byte for byte; undefined for a docker-archive, which has none. */
  readonly manifest: { readonly descriptor: Descriptor; readonly bytes: Buffer } | undefined
  /** Base first, as many as the config has DiffIds. */
  readonly layers: readonly ArchivedLayer[]
}
