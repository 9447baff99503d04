/**
 * Every media type that Strata reads or writes. image-spec media-types.md; the Docker ones are those of the
 * compatibility matrix there.
 */
export const MEDIA_TYPES = {
  manifest: 'application/vnd.oci.image.manifest.v1+json',
  index: 'application/vnd.oci.image.index.v1+json',
  config: 'application/vnd.oci.image.config.v1+json',
  layer: 'application/vnd.oci.image.layer.v1.tar',
  layerGzip: 'application/vnd.oci.image.layer.v1.tar+gzip',
  layerZstd: 'application/vnd.oci.image.layer.v1.tar+zstd',
  foreignLayer: 'application/vnd.oci.image.layer.nondistributable.v1.tar',
  foreignLayerGzip: 'application/vnd.oci.image.layer.nondistributable.v1.tar+gzip',
  foreignLayerZstd: 'application/vnd.oci.image.layer.nondistributable.v1.tar+zstd',
  layoutHeader: 'application/vnd.oci.layout.header.v1+json',
  empty: 'application/vnd.oci.empty.v1+json',
  dockerManifest: 'application/vnd.docker.distribution.manifest.v2+json',
  dockerManifestList: 'application/vnd.docker.distribution.manifest.list.v2+json',
  dockerConfig: 'application/vnd.docker.container.image.v1+json',
  dockerLayer: 'application/vnd.docker.image.rootfs.diff.tar',
  dockerLayerGzip: 'application/vnd.docker.image.rootfs.diff.tar.gzip',
  dockerLayerZstd: 'application/vnd.docker.image.rootfs.diff.tar.zstd',
  dockerForeignLayer: 'application/vnd.docker.image.rootfs.foreign.diff.tar',
  dockerForeignLayerGzip: 'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip',
  dockerSchema1: 'application/vnd.docker.distribution.manifest.v1+json',
  dockerSchema1Signed: 'application/vnd.docker.distribution.manifest.v1+prettyjws',
} as const

/** How the tar of a layer blob is compressed. */
export type LayerCompression = 'none' | 'gzip' | 'zstd'

const T = MEDIA_TYPES

const LAYERS: ReadonlyMap<string, { readonly compression: LayerCompression; readonly foreign: boolean }> = new Map([
  [T.layer, { compression: 'none', foreign: false }],
  [T.layerGzip, { compression: 'gzip', foreign: false }],
  [T.layerZstd, { compression: 'zstd', foreign: false }],
  [T.foreignLayer, { compression: 'none', foreign: true }],
  [T.foreignLayerGzip, { compression: 'gzip', foreign: true }],
  [T.foreignLayerZstd, { compression: 'zstd', foreign: true }],
  [T.dockerLayer, { compression: 'none', foreign: false }],
  [T.dockerLayerGzip, { compression: 'gzip', foreign: false }],
  [T.dockerLayerZstd, { compression: 'zstd', foreign: false }],
  [T.dockerForeignLayer, { compression: 'none', foreign: true }],
  [T.dockerForeignLayerGzip, { compression: 'gzip', foreign: true }],
])

/** An image manifest, OCI's or Docker's schema 2. */
export function isManifest(mediaType: string): boolean {
  return mediaType === T.manifest || mediaType === T.dockerManifest
}

/** An image index or Docker's manifest list. */
export function isIndex(mediaType: string): boolean {
  return mediaType === T.index || mediaType === T.dockerManifestList
}

/** Docker's manifest before 2015, which Strata refuses. */
export function isSchema1(mediaType: string): boolean {
  return mediaType === T.dockerSchema1 || mediaType === T.dockerSchema1Signed
}

/** The config of an image that can be unpacked and run; an artifact has another one. */
export function isImageConfig(mediaType: string): boolean {
  return mediaType === T.config || mediaType === T.dockerConfig
}

/** The compression of a layer's media type; `undefined` when it is no layer's. */
export function layerCompression(mediaType: string): LayerCompression | undefined {
  return LAYERS.get(mediaType)?.compression
}

/**
 * A layer that its publisher does not let registries hand on: its descriptor's `urls` say where it can be had. Strata
 * shows them and never follows them: an image could name any address, and who asks there tells something (CVE-2020-15157).
 * image-spec layer.md#non-distributable-layers
 */
export function isForeignLayer(mediaType: string): boolean {
  return LAYERS.get(mediaType)?.foreign ?? false
}
