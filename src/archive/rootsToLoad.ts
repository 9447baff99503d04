import type { CallOptions } from '../base/index.ts'
import {
  ANNOTATIONS,
  choosePlatform,
  type Descriptor,
  formatPlatform,
  isAboutAnImage,
  isImageManifest,
  isIndex,
  type Platform,
} from '../oci/index.ts'
import type { ArchivedRoot, ArchiveSource } from './archiveSource.ts'
import { readGraph } from './readGraph.ts'

/**
 * Which roots of an archive are meant. Tools that flatten an index put one image's platforms into index.json side by side, with
 * what is said about them: of those that share a name, only the best for `platform`.
 */
export function rootsToLoad({ roots }: ArchiveSource, platform: Platform): readonly ArchivedRoot[] {
  const images = roots.filter(({ descriptor }) => !isAboutAnImage(descriptor))
  const byName = Map.groupBy(images, wholeName)
  return images.filter(root => {
    const offered = root.descriptor.platform
    if (offered === undefined) return true
    const named = byName.get(wholeName(root))!.flatMap(({ descriptor }) => (descriptor.platform === undefined ? [] : [descriptor]))
    if (new Set(named.map(each => formatPlatform(each.platform!))).size < 2) return true
    const best = choosePlatform(named, platform)?.platform
    return best !== undefined && formatPlatform(best) === formatPlatform(offered)
  })
}

const wholeName = ({ descriptor: { annotations } }: ArchivedRoot): string | undefined =>
  annotations?.[ANNOTATIONS.containerdName] ?? annotations?.[ANNOTATIONS.refName]

/** Whether a root is an index of several images that is there as a whole. */
export async function isWholeIndex(source: ArchiveSource, root: Descriptor, options: CallOptions): Promise<boolean> {
  if (!isIndex(root.mediaType)) return false
  const { manifests, isWhole } = await readGraph(source, root, options)
  return isWhole && manifests.filter(isImageManifest).length > 1
}
