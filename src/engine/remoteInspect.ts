import type { CallOptions } from '../base/index.ts'
import { familiarName } from '../oci/index.ts'
import type { ImageInspect } from './imageInspect.ts'
import type { InspectImageOptions } from './images.ts'
import { inspectedConfig, NEVER } from './inspectedConfig.ts'
import { remotePlaceOf } from './lookedAtImage.ts'
import type { RegistryAccess } from './registryAccess.ts'

/** What `image inspect` prints of an image that its registry has. Where the image would be here, nothing is said. */
export async function inspectRemoteImage(text: string, options: InspectImageOptions & CallOptions & RegistryAccess): Promise<ImageInspect> {
  const { repository, reference, find } = await remotePlaceOf(text, options)
  await using _ = repository
  const { domain, path } = reference
  const { manifest, remote, config, rootDigest } = await repository.withoutLiars(find)
  const { mediaType, digest, size } = remote.descriptor
  return {
    Id: manifest.config.digest,
    RepoTags: reference.digest === undefined ? [familiarName(reference)] : [],
    RepoDigests: [familiarName({ domain, path, digest: rootDigest })],
    Parent: '',
    ...inspectedConfig(config),
    Size: manifest.layers.reduce((sum, layer) => sum + layer.size, 0),
    GraphDriver: { Name: '', Data: null },
    RootFS: { Type: 'layers', Layers: config.rootfs.diff_ids },
    Metadata: { LastTagTime: NEVER.toISOString() },
    Descriptor: { mediaType, digest, size },
  }
}
