import { type ByteStream, type CallOptions, mapConcurrently, StrataError, streamOf } from '../base/index.ts'
import type { BlobSource } from '../content/index.ts'
import { type Descriptor, describeBytes, type Digest, isIndex, isManifest } from '../oci/index.ts'
import { type GraphVisitor, GraphWalk } from './graphWalk.ts'

/** Where a graph goes. */
export interface GraphSink {
  /** Whether blobs are read only after they were taken. */
  readonly readsLater?: boolean
  /**
   * Makes sure that a blob is there, and resolves with what it is there: `target` itself, or another descriptor where
   * the sink keeps layers in another compression. The bytes are read from `source` where the sink needs them, from
   * whichever byte on, or not at all.
   */
  take(target: Descriptor, source: BlobSource, options: CallOptions): Promise<Descriptor>
}

export interface CopyGraphOptions extends CallOptions {
  /** Which entries of an index go along; all of them without it. An index that loses some is another index. */
  readonly select?: (entry: Descriptor) => boolean
  /** Blobs under way at a time. Default 5. */
  readonly blobsAtOnce?: number
}

/** The manifest or index at the top of a graph, with its bytes. */
export interface GraphRoot {
  readonly descriptor: Descriptor
  readonly bytes: Buffer
}

const BLOBS_AT_ONCE = 5

/**
 * Copies all that a manifest or an index names, directly or not: blobs first, in the order of the documents, then the
 * documents from the bottom up, so that nothing names what is not there. The root itself is the caller's to store,
 * under the name that it shall have: resolves with it, byte for byte as it was where nothing below it has changed.
 *
 * Pull, push, save, load, copy and serve are this, with another source or another sink.
 */
export async function copyGraph(source: BlobSource, sink: GraphSink, root: Descriptor, options: CopyGraphOptions = {}): Promise<GraphRoot> {
  return (await copyGraphs(source, sink, [root], options))[0]!
}

/** As `copyGraph`, with several graphs, which may have much in common: what they share is taken once. Resolves with their roots, in order. */
export async function copyGraphs(
  source: BlobSource,
  sink: GraphSink,
  roots: readonly Descriptor[],
  options: CopyGraphOptions = {},
): Promise<readonly GraphRoot[]> {
  const blobs = new Map<Digest, Descriptor>()
  const walk = new GraphWalk<Node>(source, copying(blobs, options), options)
  const tops: Node[] = []
  for (const root of roots) tops.push(await walk.visit(root))
  const taken = await takeBlobs(source, sink, blobs.values(), options)
  const below = new DocumentCopy(sink, taken, options)
  const copied: GraphRoot[] = []
  for (const top of tops) copied.push(await below.finish(top))
  return copied
}

/** A document of the graph. */
interface Node extends GraphRoot {
  readonly children: readonly Child[]
  /** Whether entries of an index were left out. */
  readonly isFiltered: boolean
}

/** What a document names: another document, or a blob. */
interface Child {
  readonly entry: Descriptor
  readonly node?: Node | undefined
}

const isDocument = ({ mediaType }: Descriptor): boolean => isManifest(mediaType) || isIndex(mediaType)

/** @param blobs gets what is named and is no document, each once, in the order of the documents */
function copying(blobs: Map<Digest, Descriptor>, { select = () => true }: CopyGraphOptions): GraphVisitor<Node> {
  return {
    enter: ({ manifests }) => manifests.filter(entry => isDocument(entry) && select(entry)),
    leave({ descriptor, bytes, document }, below) {
      const named = document.kind === 'index' ? document.index.manifests : [...document.manifest.layers, document.manifest.config]
      const selected = document.kind === 'index' ? named.filter(select) : named
      const children = selected.map((entry): Child => ({ entry, node: document.kind === 'index' ? below(entry) : undefined }))
      for (const { entry, node } of children) if (node === undefined) addBlob(blobs, entry)
      return { descriptor, bytes, children, isFiltered: selected.length < named.length }
    },
  }
}

/** One digest is one blob, with one size, whichever document names it. */
function addBlob(blobs: Map<Digest, Descriptor>, blob: Descriptor): void {
  const { digest, size } = blobs.get(blob.digest) ?? blob
  if (size !== blob.size)
    throw new StrataError(
      'invalidArgument',
      'STRATA_MANIFEST_INVALID',
      `Cannot copy blob ${digest}: it is said to have ${size} bytes, and ${blob.size}`,
    )
  blobs.set(digest, blob)
}

async function takeBlobs(
  source: BlobSource,
  sink: GraphSink,
  blobs: Iterable<Descriptor>,
  options: CopyGraphOptions,
): Promise<ReadonlyMap<Digest, Descriptor>> {
  const { signal } = options
  const taken = await mapConcurrently(blobs, options.blobsAtOnce ?? BLOBS_AT_ONCE, async (blob, failed) => {
    const call = { ...options, signal: signal === undefined ? failed : AbortSignal.any([signal, failed]) }
    return [blob.digest, await sink.take(blob, source, call)] as const
  })
  return new Map(taken)
}

/** The documents, from the bottom up, once their blobs are there; each goes once. */
class DocumentCopy {
  readonly #sink: GraphSink
  readonly #taken: ReadonlyMap<Digest, Descriptor>
  readonly #options: CopyGraphOptions
  readonly #stored = new Map<Node, Descriptor>()

  /** @param taken what the blobs have become */
  constructor(sink: GraphSink, taken: ReadonlyMap<Digest, Descriptor>, options: CopyGraphOptions) {
    this.#sink = sink
    this.#taken = taken
    this.#options = options
  }

  /** Stores the documents below `node`, and gives it as it is with what they have become. */
  async finish(node: Node): Promise<GraphRoot> {
    const children: Descriptor[] = []
    for (const { entry, node: below } of node.children)
      children.push(as(entry, below === undefined ? this.#taken.get(entry.digest)! : await this.#store(below)))
    return rewritten(node, children)
  }

  async #store(node: Node): Promise<Descriptor> {
    const known = this.#stored.get(node)
    if (known !== undefined) return known
    this.#options.signal?.throwIfAborted()
    const { descriptor, bytes } = await this.finish(node)
    const stored = await this.#sink.take(descriptor, documentSource(bytes), this.#options)
    this.#stored.set(node, stored)
    return stored
  }
}

/** An entry says more of a blob than the blob itself: its platform, annotations. */
function as(entry: Descriptor, { mediaType, digest, size }: Descriptor): Descriptor {
  return entry.digest === digest ? entry : { ...entry, mediaType, digest, size }
}

function rewritten({ descriptor, bytes, children: before, isFiltered }: Node, children: readonly Descriptor[]): GraphRoot {
  const isSame = children.every(({ digest }, position) => digest === before[position]!.entry.digest)
  if (isSame && !isFiltered) return { descriptor, bytes }
  const fields = JSON.parse(bytes.toString()) as object
  const changed = isIndex(descriptor.mediaType)
    ? { ...fields, manifests: children }
    : { ...fields, layers: children.slice(0, -1), config: children.at(-1) }
  const text = Buffer.from(JSON.stringify(changed))
  return { descriptor: as(descriptor, describeBytes(descriptor.mediaType, text)), bytes: text }
}

/** A document that is in memory. */
export function documentSource(bytes: Uint8Array): BlobSource {
  return { open: async (): Promise<ByteStream> => streamOf(bytes) }
}

/** A source whose root is in memory already. */
export function withRoot(source: BlobSource, root: GraphRoot): BlobSource {
  return withRoots(source, [root])
}

/** As `withRoot`, with several. */
export function withRoots(source: BlobSource, roots: readonly GraphRoot[]): BlobSource {
  const bytes = new Map(roots.map(root => [root.descriptor.digest, root.bytes]))
  return {
    async open(target, options) {
      const here = bytes.get(target.digest)
      return here === undefined ? source.open(target, options) : documentSource(here).open(target)
    },
  }
}
