import { type ByteStream, type CallOptions, mapConcurrently, readAtMost, StrataError, streamOf } from '../base/index.ts'
import type { BlobSource } from '../content/index.ts'
import { type Descriptor, describeBytes, type Digest, enterIndex, isIndex, isManifest, LIMITS, parseManifestOrIndex } from '../oci/index.ts'

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
  const top = await new DocumentReader(source, options).read(root, [])
  const taken = await takeBlobs(source, sink, leavesOf(top), options)
  return (await finish(top, taken, sink, options)).root
}

/** A document of the graph. */
interface Node {
  readonly descriptor: Descriptor
  readonly bytes: Buffer
  readonly children: readonly (Node | Descriptor)[]
  /** Whether entries of an index were left out. */
  readonly isFiltered: boolean
}

const isNode = (child: Node | Descriptor): child is Node => 'children' in child

/**
 * What the documents of one graph may take together, each at least so much: all of them are in memory until the root is written, and one
 * that is named again and again is read again and again. An index of as many images as an index may have fits.
 */
const MAX_DOCUMENT_BYTES = 128 * 1024 * 1024
const LEAST_DOCUMENT_BYTES = 8 * 1024

class DocumentReader {
  readonly #source: BlobSource
  readonly #options: CopyGraphOptions
  #bytes = 0

  constructor(source: BlobSource, options: CopyGraphOptions) {
    this.#source = source
    this.#options = options
  }

  async read(target: Descriptor, ancestors: readonly Digest[]): Promise<Node> {
    const limit = isIndex(target.mediaType) ? LIMITS.indexBytes : LIMITS.manifestBytes
    const bytes = await readAtMost(await this.#source.open(target, signalOf(this.#options)), limit, `manifest ${target.digest}`)
    this.#bytes += Math.max(bytes.length, LEAST_DOCUMENT_BYTES)
    if (this.#bytes > MAX_DOCUMENT_BYTES) {
      const state = `it names more manifests than ${MAX_DOCUMENT_BYTES} bytes of memory hold`
      throw new StrataError('resourceExhausted', 'STRATA_TOO_LARGE', `Cannot copy index ${ancestors[0] ?? target.digest}: ${state}`)
    }
    const document = parseManifestOrIndex(bytes, target.mediaType)
    if (document.kind === 'manifest') {
      const { config, layers } = document.manifest
      return { descriptor: target, bytes, children: [...layers, config], isFiltered: false }
    }
    const entered = enterIndex(ancestors, target.digest)
    const entries = document.index.manifests.filter(this.#options.select ?? (() => true))
    const children: (Node | Descriptor)[] = []
    for (const entry of entries)
      children.push(isManifest(entry.mediaType) || isIndex(entry.mediaType) ? await this.read(entry, entered) : entry)
    return { descriptor: target, bytes, children, isFiltered: entries.length < document.index.manifests.length }
  }
}

function* leavesOf(node: Node): Generator<Descriptor> {
  for (const child of node.children) {
    if (isNode(child)) yield* leavesOf(child)
    else yield child
  }
}

/** Each blob once, however often it is named. */
async function takeBlobs(
  source: BlobSource,
  sink: GraphSink,
  blobs: Iterable<Descriptor>,
  options: CopyGraphOptions,
): Promise<ReadonlyMap<Digest, Descriptor>> {
  const unique = new Map<Digest, Descriptor>()
  for (const blob of blobs) {
    const { digest, size } = unique.get(blob.digest) ?? blob
    if (size !== blob.size)
      throw new StrataError(
        'invalidArgument',
        'STRATA_MANIFEST_INVALID',
        `Cannot copy blob ${digest}: it is said to have ${size} bytes, and ${blob.size}`,
      )
    unique.set(blob.digest, blob)
  }
  const { signal } = options
  const taken = await mapConcurrently(unique.values(), options.blobsAtOnce ?? BLOBS_AT_ONCE, async (blob, failed) => {
    const call = { ...options, signal: signal === undefined ? failed : AbortSignal.any([signal, failed]) }
    return [blob.digest, await sink.take(blob, source, call)] as const
  })
  return new Map(taken)
}

/** Stores the documents below `node`, and gives it as it is with what they have become. */
async function finish(
  node: Node,
  taken: ReadonlyMap<Digest, Descriptor>,
  sink: GraphSink,
  options: CopyGraphOptions,
): Promise<{ readonly root: GraphRoot }> {
  const children: Descriptor[] = []
  for (const child of node.children) {
    if (!isNode(child)) children.push(as(child, taken.get(child.digest)!))
    else {
      const { root } = await finish(child, taken, sink, options)
      children.push(as(child.descriptor, await sink.take(root.descriptor, documentSource(root.bytes), options)))
    }
  }
  return { root: rewritten(node, children) }
}

/** An entry says more of a blob than the blob itself: its platform, annotations. */
function as(entry: Descriptor, { mediaType, digest, size }: Descriptor): Descriptor {
  return entry.digest === digest ? entry : { ...entry, mediaType, digest, size }
}

function rewritten({ descriptor, bytes, children: before, isFiltered }: Node, children: readonly Descriptor[]): GraphRoot {
  const isSame = children.every(({ digest }, position) => {
    const child = before[position]!
    return digest === (isNode(child) ? child.descriptor : child).digest
  })
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
export function withRoot(source: BlobSource, { descriptor, bytes }: GraphRoot): BlobSource {
  return {
    open: (target, options) => (target.digest === descriptor.digest ? documentSource(bytes).open(target) : source.open(target, options)),
  }
}

const signalOf = ({ signal }: CallOptions): CallOptions => (signal === undefined ? {} : { signal })
