import { StrataError } from '../base/index.ts'
import { type Annotations, decodeDescriptor, type Descriptor } from './descriptor.ts'
import type { Digest } from './digest.ts'
import { type DocumentKind, type Fields, readDocument } from './document.ts'
import type { ImageConfig } from './imageConfig.ts'
import { LIMITS } from './limits.ts'
import { isImageConfig, isIndex, isManifest, isSchema1, layerCompression, MEDIA_TYPES } from './mediaType.ts'
import { quoted } from './quoted.ts'

/** Lists the config and the layers (base first) of an image. Unknown fields are kept. image-spec manifest.md */
export interface ImageManifest {
  readonly schemaVersion: 2
  readonly mediaType: string
  readonly artifactType?: string
  readonly config: Descriptor
  readonly layers: readonly Descriptor[]
  readonly subject?: Descriptor
  readonly annotations?: Annotations
}

/** Lists manifests, mostly one for each platform; Docker calls it a manifest list. image-spec image-index.md */
export interface ImageIndex {
  readonly schemaVersion: 2
  readonly mediaType: string
  readonly artifactType?: string
  readonly manifests: readonly Descriptor[]
  readonly subject?: Descriptor
  readonly annotations?: Annotations
}

/** One of the two documents that a tag can name. */
export type ManifestDocument =
  | { readonly kind: 'manifest'; readonly manifest: ImageManifest }
  | { readonly kind: 'index'; readonly index: ImageIndex }

const CODE = 'STRATA_MANIFEST_INVALID'
const MANIFEST: DocumentKind = { name: 'image manifest', code: CODE, maxBytes: LIMITS.manifestBytes }
const INDEX: DocumentKind = { name: 'image index', code: CODE, maxBytes: LIMITS.indexBytes }
const EITHER: DocumentKind = { name: 'manifest or index', code: CODE, maxBytes: Math.max(LIMITS.manifestBytes, LIMITS.indexBytes) }

/** The fields that only one kind of document has; one with another kind's fields could be read as either (CVE-2021-41190). */
const FOREIGN_FIELDS = { manifest: ['manifests', 'fsLayers'], index: ['config', 'layers', 'fsLayers'] } as const

/** Names whose meaning must not depend on whether a reader minds upper and lower case, as Go's does not. */
const KNOWN_NAMES = ['schemaVersion', 'mediaType', 'artifactType', 'config', 'layers', 'manifests', 'subject', 'annotations', 'fsLayers']
const SPELLING: ReadonlyMap<string, string> = new Map(KNOWN_NAMES.map(name => [foldCase(name), name]))

// Upper case first: it takes the long s and the Kelvin sign, which Go counts as s and k, into ASCII.
function foldCase(name: string): string {
  return name.toUpperCase().toLowerCase()
}

/**
 * Reads an image manifest (OCI or Docker schema 2).
 *
 * @param expectedMediaType what the descriptor or the Content-Type header said, without parameters; the document must agree
 * @throws StrataError STRATA_MANIFEST_INVALID, or STRATA_MANIFEST_SCHEMA1 (kind unsupported)
 */
export function parseManifest(bytes: Uint8Array, expectedMediaType?: string): ImageManifest {
  const fields = readDocument(bytes, MANIFEST)
  refuseSchema1(fields, expectedMediaType)
  return decodeManifest(fields, expectedMediaType)
}

/**
 * Reads an image index or Docker manifest list. Parameters and errors are those of parseManifest.
 */
export function parseIndex(bytes: Uint8Array, expectedMediaType?: string): ImageIndex {
  const fields = readDocument(bytes, INDEX)
  refuseSchema1(fields, expectedMediaType)
  return decodeIndex(fields, expectedMediaType)
}

/**
 * Reads whichever of the two the document is: as its media type says, and by its fields where neither it nor the
 * caller names one. Parameters and errors are those of parseManifest.
 */
export function parseManifestOrIndex(bytes: Uint8Array, expectedMediaType?: string): ManifestDocument {
  const fields = readDocument(bytes, EITHER)
  refuseSchema1(fields, expectedMediaType)
  const mediaType = fields.mediaType('mediaType') ?? expectedMediaType
  const asIndex = mediaType === undefined ? fields.names.includes('manifests') : isIndex(mediaType)
  return asIndex
    ? { kind: 'index', index: decodeIndex(fields, expectedMediaType) }
    : { kind: 'manifest', manifest: decodeManifest(fields, expectedMediaType) }
}

function refuseSchema1(fields: Fields, expectedMediaType: string | undefined): void {
  const mediaType = fields.string('mediaType') ?? ''
  if (fields.integer('schemaVersion') !== 1 && !isSchema1(mediaType) && !isSchema1(expectedMediaType ?? '')) return
  throw new StrataError(
    'unsupported',
    'STRATA_MANIFEST_SCHEMA1',
    'Cannot read image manifest: it is in Docker’s schema 1, which is out of use',
    {
      hint: 'Push the image again with a current client, or convert it with `skopeo copy --format oci`.',
    },
  )
}

function decodeManifest(fields: Fields, expectedMediaType: string | undefined): ImageManifest {
  const mediaType = checkDocument(fields, 'manifest', expectedMediaType)
  const config = decodeDescriptor(fields.require('config', fields.object('config')))
  const layerFields = fields.require(
    'layers',
    fields.names.includes('layers') ? (fields.objects('layers', LIMITS.layers) ?? []) : undefined,
  )
  const layers = layerFields.map(decodeDescriptor)
  refuseContradictions(fields, 'layers', layers, layer => layerCompression(layer.mediaType) ?? 'unknown')
  if (isImageConfig(config.mediaType) && config.size > LIMITS.configBytes) {
    throw fields.error('config.size', `is ${config.size}, more than ${LIMITS.configBytes}`)
  }
  return fields.with<ImageManifest>({
    schemaVersion: 2,
    mediaType,
    artifactType: fields.mediaType('artifactType'),
    config,
    layers,
    subject: decodeSubject(fields),
    annotations: fields.stringMap('annotations'),
  })
}

function decodeIndex(fields: Fields, expectedMediaType: string | undefined): ImageIndex {
  const mediaType = checkDocument(fields, 'index', expectedMediaType)
  const entries = fields.require(
    'manifests',
    fields.names.includes('manifests') ? (fields.objects('manifests', LIMITS.indexEntries) ?? []) : undefined,
  )
  const manifests = entries.map(entry => {
    const descriptor = decodeDescriptor(entry)
    const limit = isManifest(descriptor.mediaType) ? LIMITS.manifestBytes : isIndex(descriptor.mediaType) ? LIMITS.indexBytes : Infinity
    if (descriptor.size > limit) throw entry.error('size', `is ${descriptor.size}, more than ${limit}`)
    return descriptor
  })
  refuseContradictions(fields, 'manifests', manifests, entry => entry.mediaType)
  return fields.with<ImageIndex>({
    schemaVersion: 2,
    mediaType,
    artifactType: fields.mediaType('artifactType'),
    manifests,
    subject: decodeSubject(fields),
    annotations: fields.stringMap('annotations'),
  })
}

function decodeSubject(fields: Fields): Descriptor | undefined {
  const subject = fields.object('subject')
  return subject === undefined ? undefined : decodeDescriptor(subject)
}

/** What both documents have in common; returns the media type, filled in where the document leaves it out. */
function checkDocument(fields: Fields, kind: 'manifest' | 'index', expected: string | undefined): string {
  if (fields.require('schemaVersion', fields.integer('schemaVersion')) !== 2) throw fields.error('schemaVersion', 'is not 2')
  for (const name of fields.names) {
    if ((SPELLING.get(foldCase(name)) ?? name) !== name) {
      throw fields.error(undefined, `the name ${quoted(name)} differs from a known one only by upper and lower case`)
    }
  }
  const foreign = FOREIGN_FIELDS[kind].find(name => fields.names.includes(name))
  if (foreign !== undefined) throw fields.error(undefined, `it has the field "${foreign}", which belongs to another kind of document`)
  const own = fields.mediaType('mediaType')
  if (own !== undefined && expected !== undefined && own !== expected) {
    throw fields.error('mediaType', `is ${quoted(own)} where ${quoted(expected)} was announced`)
  }
  const mediaType = own ?? expected ?? (kind === 'index' ? MEDIA_TYPES.index : MEDIA_TYPES.manifest)
  if (kind === 'index' ? isIndex(mediaType) : isManifest(mediaType)) return mediaType
  throw fields.error('mediaType', `is not that of an image ${kind}: ${quoted(mediaType)}`)
}

/** One digest is one blob: it has one size and one meaning wherever it stands. */
function refuseContradictions(
  fields: Fields,
  name: string,
  descriptors: readonly Descriptor[],
  meaning: (descriptor: Descriptor) => string,
): void {
  const seen = new Map<Digest, Descriptor>()
  for (const descriptor of descriptors) {
    const before = seen.get(descriptor.digest)
    if (before === undefined) seen.set(descriptor.digest, descriptor)
    else if (before.size !== descriptor.size) throw fields.error(name, `gives ${descriptor.digest} two sizes`)
    else if (meaning(before) !== meaning(descriptor)) throw fields.error(name, `gives ${descriptor.digest} two media types`)
  }
}

/** What the media types of layers begin with, also of those in a compression that is not known here. */
const LAYER_TYPE = /^application\/vnd\.(?:oci\.image\.layer|docker\.image\.rootfs)\./

/**
 * Whether a manifest is an image's and not an artifact's. The config alone does not tell: cosign's signatures and BuildKit's
 * attestations have an image's config.
 */
export function isImageManifest({ config, layers }: ImageManifest): boolean {
  return isImageConfig(config.mediaType) && (layers.length === 0 || layers.some(({ mediaType }) => LAYER_TYPE.test(mediaType)))
}

/**
 * Checks that a manifest is an image's, before its config is read as one.
 *
 * @throws StrataError STRATA_MANIFEST_NOT_AN_IMAGE (kind unsupported) for an artifact
 */
export function checkIsImage(manifest: ImageManifest): void {
  if (isImageManifest(manifest)) return
  const { config, layers } = manifest
  const [differing, { mediaType }] = isImageConfig(config.mediaType) ? ['first layer', layers[0]!] : ['config', config]
  throw new StrataError(
    'unsupported',
    'STRATA_MANIFEST_NOT_AN_IMAGE',
    `Cannot use manifest as an image: its ${differing} has the media type ${quoted(mediaType)}`,
    { hint: 'It is an artifact, such as a chart or a signature; it can be copied but not run.' },
  )
}

/**
 * Checks that a manifest and the config it names belong together: an image's config type, and one diff id for each layer.
 *
 * @throws StrataError STRATA_MANIFEST_NOT_AN_IMAGE (kind unsupported) for an artifact, STRATA_MANIFEST_CONFIG_MISMATCH
 */
export function checkManifestAgainstConfig(manifest: ImageManifest, config: ImageConfig): void {
  checkIsImage(manifest)
  const diffIds = config.rootfs.diff_ids.length
  if (manifest.layers.length === diffIds) return
  throw new StrataError(
    'invalidArgument',
    'STRATA_MANIFEST_CONFIG_MISMATCH',
    `Cannot use image manifest: it lists ${manifest.layers.length} layers and its config ${diffIds} diff ids`,
  )
}

/**
 * Goes into an index that was found inside others, and returns the ancestors for what is inside it. Every walk over an
 * index calls this before it reads one, and reads a digest once only.
 *
 * @param ancestors the digests of the indexes around it, outermost first
 * @param levels how many indexes stand inside each other in it, itself included, where that is known
 * @throws StrataError STRATA_MANIFEST_INVALID when the index contains itself or stands too deep
 */
export function enterIndex(ancestors: readonly Digest[], index: Digest, levels = 1): readonly Digest[] {
  const around = ancestors.length + levels - 1
  const state = ancestors.includes(index)
    ? 'it contains itself'
    : around >= LIMITS.indexDepth
      ? `${levels === 1 ? 'it stands' : 'an index in it stands'} inside ${around} others, and ${LIMITS.indexDepth - 1} is the limit`
      : undefined
  if (state !== undefined) throw new StrataError('invalidArgument', CODE, `Cannot read image index ${index}: ${state}`)
  return [...ancestors, index]
}
