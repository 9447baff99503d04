/** The formats of the OCI image-spec and of distribution/reference: text and bytes ↔ values. */
export { type Annotations, describeBytes, type Descriptor } from './descriptor.ts'
export {
  type ChainId,
  chainIds,
  type DiffId,
  type Digest,
  type DigestAlgorithm,
  digestAlgorithm,
  digestHex,
  digestOf,
  type ImageId,
  imageIdOf,
  isDigest,
  parseDiffId,
  parseDigest,
} from './digest.ts'
export { type DocumentKind, type Fields, readDocument } from './document.ts'
export { type Healthcheck, type History, type ImageConfig, parseImageConfig, type ProcessConfig } from './imageConfig.ts'
export { ANNOTATIONS, blobPath, IMAGE_LAYOUT, IMAGE_LAYOUT_VERSION, type ImageLayout, parseImageLayout } from './imageLayout.ts'
export { type ImagePath, parseImagePath } from './imagePath.ts'
export { LIMITS } from './limits.ts'
export {
  checkIsImage,
  checkManifestAgainstConfig,
  enterIndex,
  isImageManifest,
  type ImageIndex,
  type ImageManifest,
  type ManifestDocument,
  parseIndex,
  parseManifest,
  parseManifestOrIndex,
} from './manifest.ts'
export { publisherHint } from './foreignLayer.ts'
export { isForeignLayer, isImageConfig, isIndex, isManifest, layerCompression, type LayerCompression, MEDIA_TYPES } from './mediaType.ts'
export { formatPlatform, normalizePlatform, parsePlatform, type Platform } from './platform.ts'
export { choosePlatform, isAboutAnImage, matchesPlatform, subjectOfAttestation } from './platformChoice.ts'
export { quoted } from './quoted.ts'
export { withoutPassword } from './withoutPassword.ts'
export {
  findReference,
  familiarForm,
  familiarName,
  formatReference,
  isTag,
  parseReference,
  type Reference,
  shortNameIn,
  withDefaultTag,
  withTag,
} from './reference.ts'
