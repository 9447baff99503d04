import { type LayerCompression, MEDIA_TYPES } from '../oci/index.ts'

const OCI = { none: MEDIA_TYPES.layer, gzip: MEDIA_TYPES.layerGzip, zstd: MEDIA_TYPES.layerZstd } as const
const DOCKER = { none: MEDIA_TYPES.dockerLayer, gzip: MEDIA_TYPES.dockerLayerGzip, zstd: MEDIA_TYPES.dockerLayerZstd } as const

/** The media type of a plain layer when it is compressed, in the family of its own: a manifest's layers are all OCI's or all Docker's. */
export function compressedType(mediaType: string, compression: LayerCompression): string {
  return (mediaType.startsWith('application/vnd.docker.') ? DOCKER : OCI)[compression]
}
