import { readAtMost } from '../base/index.ts'
import {
  type Descriptor,
  type Digest,
  enterIndex,
  type ImageManifest,
  isForeignLayer,
  isIndex,
  isManifest,
  LIMITS,
  parseManifestOrIndex,
} from '../oci/index.ts'
import type { ArchiveSource } from './archiveSource.ts'

/** What the documents below a root name. */
export interface ArchivedGraph {
  /** Manifests that are there, of images, artifacts and attestations. */
  readonly manifests: readonly ImageManifest[]
  /** Whether everything that is named is there, or was left out for who has it. */
  readonly isWhole: boolean
}

/** Reads the documents below a root as far as they are there. */
export async function readGraph(source: ArchiveSource, target: Descriptor, ancestors: readonly Digest[] = []): Promise<ArchivedGraph> {
  const isHad = (blob: Descriptor): boolean =>
    source.has(blob) || source.since?.absent.has(blob.digest) === true || isForeignLayer(blob.mediaType)
  if (!source.has(target) || !(isManifest(target.mediaType) || isIndex(target.mediaType))) return { manifests: [], isWhole: isHad(target) }
  const bytes = await readAtMost(await source.open(target), LIMITS.indexBytes, `"${target.digest}" of ${source.title}`)
  const document = parseManifestOrIndex(bytes, target.mediaType)
  if (document.kind === 'manifest') {
    const { config, layers } = document.manifest
    return { manifests: [document.manifest], isWhole: [config, ...layers].every(isHad) }
  }
  const entered = enterIndex(ancestors, target.digest)
  const graphs: ArchivedGraph[] = []
  // What is named twice need not be read twice.
  const entries = new Map(document.index.manifests.map(entry => [entry.digest, entry]))
  for (const entry of entries.values()) graphs.push(await readGraph(source, entry, entered))
  return { manifests: graphs.flatMap(({ manifests }) => manifests), isWhole: graphs.every(({ isWhole }) => isWhole) }
}
