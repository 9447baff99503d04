import { type ByteStream, type CallOptions, isStrataError } from '../base/index.ts'
import type { SinceMark } from '../archive/index.ts'
import {
  type Descriptor,
  type Digest,
  familiarName,
  formatReference,
  layerCompression,
  parseDigest,
  parseReference,
  type Reference,
} from '../oci/index.ts'
import type { GraphRoot } from '../transfer/index.ts'
import { noteDockerTypes } from './dockerTypesNote.ts'
import { holdRoot } from './heldRoot.ts'
import { hostPlatform } from './hostPlatform.ts'
import type { SaveOptions } from './images.ts'
import { tagsOf } from './repositoryTags.ts'
import { type RootHere, rootHere } from './rootHere.ts'
import type { Stores } from './stores.ts'

const FORMATS = { docker: 'docker-archive', oci: 'oci-archive', 'docker-archive': 'docker-archive', 'oci-archive': 'oci-archive' } as const

/** An archive of images; what an image is named in it is what it was asked for by. */
export async function saveImages(stores: Stores, texts: readonly string[], options: SaveOptions & CallOptions): Promise<ByteStream> {
  const { ArchiveContents } = await import('../archive/index.ts')
  const { copyGraph } = await import('../transfer/index.ts')
  const { signal } = options
  const call = signal === undefined ? {} : { signal }
  await using held = new AsyncDisposableStack()
  const asked = await rootsAsked(stores, texts, options)
  // The layer store is what derivable blobs are derived from.
  void stores.layers
  for (const { root, image } of asked) held.use(holdRoot(stores, root, image))
  const since = options.since === undefined ? undefined : await sinceMark(stores, options.since, asked)
  const contents = held.use(
    new ArchiveContents({
      compression: options.compression ?? 'none',
      scratch: stores.scratchDirectory(),
      ...(since === undefined ? {} : { since }),
    }),
  )
  const roots: GraphRoot[] = []
  for (const { root, isSelected, names } of asked) {
    const copied = await copyGraph(stores.content, contents, root, { ...call, select: isSelected })
    contents.add(copied, { names: [...names.values()] })
    roots.push(copied)
  }
  const format = FORMATS[options.format ?? 'docker-archive']
  if (format === 'oci-archive') noteDockerTypes(roots, options)
  const archive = contents.bytes(format, hostPlatform())
  const leases = held.move()
  return (async function* () {
    await using _leases = leases
    yield* archive
  })()
}

interface AskedRoot extends RootHere {
  readonly names: ReadonlyMap<string, Reference>
}

/** What is asked for, each root once with all names that it was asked for by. */
async function rootsAsked(
  stores: Stores,
  texts: readonly string[],
  { platforms = [], format }: SaveOptions,
): Promise<readonly AskedRoot[]> {
  const asked = new Map<string, RootHere & { readonly names: Map<string, Reference> }>()
  for (const { text, name, isListed } of texts.flatMap(each => namesMeant(stores, each))) {
    const here = await rootHere(stores, name, { text, platforms })
    // docker's own files have no place for artifacts, which a repository may have beside its images.
    if (isListed && here.image === undefined && FORMATS[format ?? 'docker-archive'] === 'docker-archive') continue
    const entry = asked.get(here.root.digest) ?? { ...here, names: new Map<string, Reference>() }
    asked.set(here.root.digest, entry)
    if (name?.digest === undefined && name !== undefined) entry.names.set(formatReference(name), name)
  }
  return [...asked.values()]
}

interface NameMeant {
  readonly text: string
  readonly name: Reference | undefined
  /** Whether it is one of the tags of a repository. */
  readonly isListed: boolean
}

/** An id means an image without a name, a name with a tag itself, and a repository alone all its tags here. */
function namesMeant(stores: Stores, text: string): readonly NameMeant[] {
  const repository = repositoryIn(text)
  const tagged = repository === undefined ? [] : tagsOf(stores, repository)
  if (tagged.length > 0) return tagged.map(name => ({ text: familiarName(name), name, isListed: true }))
  return [{ text, name: stores.images.nameMeant(text), isListed: false }]
}

/** A reference that is nothing but a repository; undefined for every other, and for what is no reference. */
function repositoryIn(text: string): Reference | undefined {
  try {
    const reference = parseReference(text)
    return reference.tag === undefined && reference.digest === undefined ? reference : undefined
  } catch (error) {
    if (isStrataError(error, 'invalidArgument')) return undefined
    throw error
  }
}

/**
 * What of the images that are asked for a reader has who has another one: its layers, as the very blobs, or as layers of which
 * the blob can be made. Documents always go along. Undefined where they have nothing in common.
 */
async function sinceMark(stores: Stores, text: string, asked: readonly RootHere[]): Promise<SinceMark | undefined> {
  const { SinceMark: Mark } = await import('../archive/index.ts')
  const { content } = stores
  const name = stores.images.nameMeant(text)
  const base = await rootHere(stores, name, { text, platforms: [] })
  const blobs = await layersOf(stores, base)
  const layers = new Set(blobs.flatMap(({ digest }) => content.diffIdOf(digest) ?? []))
  const digests = new Set(blobs.map(({ digest }) => digest))
  const isHad = ({ digest }: Descriptor): boolean => {
    const diffId = content.diffIdOf(digest)
    return digests.has(digest) || (diffId !== undefined && digest === parseDigest(diffId) && layers.has(diffId))
  }
  const absent = new Set<Digest>()
  for (const each of asked) for (const layer of await layersOf(stores, each)) if (isHad(layer)) absent.add(layer.digest)
  if (absent.size === 0) return undefined
  return new Mark({ digest: base.root.digest, name: name === undefined ? undefined : familiarName(name), absent })
}

/** The layers below a root. */
async function layersOf({ content }: Stores, { root, isSelected }: RootHere): Promise<readonly Descriptor[]> {
  const { copyGraph } = await import('../transfer/index.ts')
  const layers: Descriptor[] = []
  const sink = {
    async take(target: Descriptor): Promise<Descriptor> {
      if (layerCompression(target.mediaType) !== undefined) layers.push(target)
      return target
    },
  }
  await copyGraph(content, sink, root, { select: isSelected })
  return layers
}
