import { type CallOptions, readAtMost, StrataError } from '../base/index.ts'
import type { BlobSource } from '../content/index.ts'
import {
  type Descriptor,
  type Digest,
  enterIndex,
  type ImageIndex,
  isIndex,
  LIMITS,
  type ManifestDocument,
  parseManifestOrIndex,
} from '../oci/index.ts'

/** A manifest or index that a walk has come to. */
export interface WalkedDocument {
  /** As it was named where the walk found it first. */
  readonly descriptor: Descriptor
  readonly bytes: Buffer
  readonly document: ManifestDocument
}

export interface GraphVisitor<Result> {
  /** Which entries of an index the walk goes into; each a manifest or an index. */
  enter(index: ImageIndex): readonly Descriptor[]
  /**
   * What comes of a document. Called once for each, after those below it.
   *
   * @param below what came of an entry that the walk went into; undefined for every other one
   */
  leave(walked: WalkedDocument, below: (entry: Descriptor) => Result | undefined): Result
}

interface Known<Result> {
  readonly result: Result
  readonly mediaType: string
  readonly size: number
  /** How many indexes stand inside each other in it, itself included. */
  readonly levels: number
}

/**
 * A walk over the documents of one graph, or of several that have much in common. Each document is read once, however
 * often it is named, so that a graph takes as long as it is large; what all of them have together is bounded by
 * LIMITS.graphBytes, and whoever calls it off is heard between any two.
 */
export class GraphWalk<Result> {
  readonly #source: BlobSource
  readonly #visitor: GraphVisitor<Result>
  readonly #options: CallOptions
  readonly #known = new Map<Digest, Known<Result>>()
  #bytes = 0

  constructor(source: BlobSource, visitor: GraphVisitor<Result>, { signal }: CallOptions = {}) {
    this.#source = source
    this.#visitor = visitor
    this.#options = signal === undefined ? {} : { signal }
  }

  /**
   * Goes through what a manifest or index names, and resolves with what has come of it.
   *
   * Rejects with `invalidArgument` (STRATA_MANIFEST_INVALID) where an index contains itself or stands too deep, or one digest is
   * named as two things, and with `resourceExhausted` (STRATA_TOO_LARGE).
   */
  async visit(root: Descriptor): Promise<Result> {
    return (await this.#visit(root, [])).result
  }

  async #visit(target: Descriptor, ancestors: readonly Digest[]): Promise<Known<Result>> {
    const known = this.#known.get(target.digest) ?? (await this.#read(target, ancestors))
    if (known.mediaType !== target.mediaType || known.size !== target.size)
      throw contradictory(target, known.mediaType === target.mediaType ? 'sizes' : 'media types')
    // On another way it may stand deeper than on the one where it was found first.
    if (known.levels > 0) enterIndex(ancestors, target.digest, known.levels)
    return known
  }

  async #read(target: Descriptor, ancestors: readonly Digest[]): Promise<Known<Result>> {
    const { signal } = this.#options
    signal?.throwIfAborted()
    const limit = isIndex(target.mediaType) ? LIMITS.indexBytes : LIMITS.manifestBytes
    const bytes = await readAtMost(await this.#source.open(target, this.#options), limit, `manifest ${target.digest}`)
    this.#bytes += Math.max(bytes.length, LIMITS.graphDocumentBytes)
    if (this.#bytes > LIMITS.graphBytes) throw tooLarge(ancestors[0] ?? target.digest)
    const document = parseManifestOrIndex(bytes, target.mediaType)
    const below = new Map<Digest, Known<Result>>()
    if (document.kind === 'index') {
      const entered = enterIndex(ancestors, target.digest)
      for (const entry of this.#visitor.enter(document.index)) below.set(entry.digest, await this.#visit(entry, entered))
    }
    const known: Known<Result> = {
      result: this.#visitor.leave({ descriptor: target, bytes, document }, entry => below.get(entry.digest)?.result),
      mediaType: target.mediaType,
      size: target.size,
      levels: document.kind === 'index' ? 1 + Math.max(0, ...[...below.values()].map(({ levels }) => levels)) : 0,
    }
    this.#known.set(target.digest, known)
    return known
  }
}

function contradictory({ digest }: Descriptor, what: string): StrataError {
  return new StrataError('invalidArgument', 'STRATA_MANIFEST_INVALID', `Cannot read manifest ${digest}: it is named with two ${what}`)
}

function tooLarge(index: Digest): StrataError {
  const state = `the manifests that it names have more than ${LIMITS.graphBytes} bytes together`
  return new StrataError('resourceExhausted', 'STRATA_TOO_LARGE', `Cannot read index ${index}: ${state}`)
}
