import { readAtMost } from '../base/index.ts'
import { type Descriptor, type Digest, enterIndex, isAboutAnImage, isIndex, isManifest, LIMITS, parseManifestOrIndex } from '../oci/index.ts'
import type { ImageSource } from './imageSource.ts'

/** The digests of the configs below a root, as far as their manifests are there. */
export async function configsOf(source: ImageSource, target: Descriptor, ancestors: readonly Digest[] = []): Promise<readonly Digest[]> {
  if (!source.has(target) || isAboutAnImage(target) || !(isManifest(target.mediaType) || isIndex(target.mediaType))) return []
  const bytes = await readAtMost(await source.open(target), LIMITS.indexBytes, `"${target.digest}" of ${source.name}`)
  const document = parseManifestOrIndex(bytes, target.mediaType)
  if (document.kind === 'manifest') return [document.manifest.config.digest]
  const entered = enterIndex(ancestors, target.digest)
  const configs: Digest[] = []
  for (const entry of document.index.manifests) configs.push(...(await configsOf(source, entry, entered)))
  return configs
}
