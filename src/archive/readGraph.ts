import type { CallOptions } from '../base/index.ts'
import { type Descriptor, type ImageManifest, isForeignLayer, isIndex, isManifest } from '../oci/index.ts'
import { GraphWalk } from '../transfer/index.ts'
import type { ArchiveSource } from './archiveSource.ts'

/** What the documents below a root name. */
export interface ArchivedGraph {
  /** Manifests that are there, of images, artifacts and attestations, each once. */
  readonly manifests: readonly ImageManifest[]
  /** Whether everything that is named is there, or was left out for who has it. */
  readonly isWhole: boolean
}

/** Reads the documents below a root as far as they are there. */
export async function readGraph(source: ArchiveSource, target: Descriptor, options: CallOptions): Promise<ArchivedGraph> {
  const isHad = (blob: Descriptor): boolean =>
    source.has(blob) || source.since?.absent.has(blob.digest) === true || isForeignLayer(blob.mediaType)
  if (!isDocumentOf(source, target)) return { manifests: [], isWhole: isHad(target) }
  const manifests: ImageManifest[] = []
  let isWhole = true
  const walk = new GraphWalk<void>(
    source,
    {
      enter: index => index.manifests.filter(entry => isDocumentOf(source, entry)),
      leave: ({ document }) => {
        const named = document.kind === 'index' ? document.index.manifests : [document.manifest.config, ...document.manifest.layers]
        isWhole &&= named.every(isHad)
        if (document.kind === 'manifest') manifests.push(document.manifest)
      },
    },
    options,
  )
  await walk.visit(target)
  return { manifests, isWhole }
}

/** Whether something is a manifest or an index, and is there. */
export function isDocumentOf(source: ArchiveSource, target: Descriptor): boolean {
  return source.has(target) && (isManifest(target.mediaType) || isIndex(target.mediaType))
}
