import { type CallOptions, isStrataError, StrataError, streamOf } from '../base/index.ts'
import type { BlobSource, DiskContentStore } from '../content/index.ts'
import type { Referrer } from '../image/index.ts'
import type { Lease } from '../metadata/index.ts'
import { type Descriptor, type Digest, isManifest, parseManifest } from '../oci/index.ts'
import type { RemoteManifest, Repository } from '../registry/index.ts'
import { signatureTag } from '../signature/index.ts'
import { ContentSink } from './contentSink.ts'
import { copyGraph, type GraphSink } from './copyGraph.ts'

/** What comes along with one image unasked: so many manifests, and so many bytes in all. */
const MOST_REFERRERS = 64
const MOST_BYTES = 64 * 1024 * 1024
/** So long an image that is here waits for what is said about it. */
const WAIT_MS = 5000
const LATE = Symbol('late')

export interface ReferrerIntakeOptions extends CallOptions {
  /** Holds what arrives until the caller has recorded it. */
  readonly lease: Lease
}

/** A referrer and the manifest that it is about. */
export interface KeptReferrer {
  readonly subject: Digest
  readonly referrer: Referrer
}

/**
 * Brings what a repository says about manifests into the store: signatures, lists of parts, attestations, and what is said
 * about those. It comes while the image does, and is not waited for when the image is there. What is there and cannot be had, or is
 * too much, is told, and left out: the image is whole without it.
 */
export class ReferrerIntake implements AsyncDisposable {
  readonly #repository: Repository
  readonly #content: DiskContentStore
  readonly #options: ReferrerIntakeOptions
  /** Ends what is under way: nobody waits for it any longer. */
  readonly #over = new AbortController()
  readonly #kept: KeptReferrer[] = []
  /** All that has been asked about, or will be. */
  readonly #subjects = new Set<Digest>()
  readonly #begun: Promise<readonly [PromiseSettledResult<void>]>
  #looked = 0
  #bytes = 0

  /** Begins at once. @param subjects manifests that are asked about */
  constructor(repository: Repository, subjects: Iterable<Digest>, content: DiskContentStore, options: ReferrerIntakeOptions) {
    this.#repository = repository
    this.#content = content
    this.#options = options
    this.#begun = Promise.allSettled([this.#take(subjects)])
  }

  /**
   * For when the image is there: asks about more manifests, and resolves with what is kept by then, or in a few seconds. The
   * caller records it.
   *
   * Rejects when the call is interrupted, and when the store cannot be written.
   */
  async finish(subjects: Iterable<Digest>): Promise<readonly KeptReferrer[]> {
    const timer = setTimeout(() => this.#over.abort(LATE), WAIT_MS)
    try {
      const [begun] = await this.#begun
      if (begun.status === 'rejected') throw begun.reason
      await this.#take(subjects)
      return this.#kept
    } finally {
      clearTimeout(timer)
    }
  }

  async #take(subjects: Iterable<Digest>): Promise<void> {
    const queue = new Set([...subjects].filter(digest => !this.#subjects.has(digest)))
    for (const subject of queue) this.#subjects.add(subject)
    for (const subject of queue) {
      for (const digest of await this.#takeAbout(subject)) queue.add(digest)
    }
  }

  /** Resolves with what is kept of it, about which something may be said as well. */
  async #takeAbout(subject: Digest): Promise<readonly Digest[]> {
    const taken: Digest[] = []
    let [isFound, leftOut] = [false, 0]
    try {
      for await (const found of referrersOf(this.#repository, subject, this.#call())) {
        isFound = true
        const { digest } = found.descriptor
        if (this.#subjects.has(digest)) continue
        if (this.#looked === MOST_REFERRERS) throw tooMany(this.#repository, `there are more than ${MOST_REFERRERS}`)
        this.#looked += 1
        if (await this.#keep(subject, found)) {
          this.#subjects.add(digest)
          taken.push(digest)
        } else leftOut += 1
      }
      if (leftOut > 0) throw tooMany(this.#repository, `together they have more than ${MOST_BYTES} bytes: ${leftOut} of them are left out`)
    } catch (error) {
      const isLate = this.#over.signal.aborted
      if (this.#options.signal?.aborted === true || !(isLate || isStrataError(error))) throw error
      if (isLate) this.#tell(subject, 'its registry takes too long')
      // Many registries cannot tell.
      else if (isFound) this.#tell(subject, (error as StrataError).message)
    }
    return taken
  }

  /** False where it is too much. */
  async #keep(subject: Digest, found: FoundReferrer): Promise<boolean> {
    const { descriptor, tag } = found
    const size = sizeOf(found)
    if (this.#bytes + size > MOST_BYTES) return false
    this.#bytes += size
    const { lease } = this.#options
    const root = await copyGraph(this.#repository, new ContentSink(this.#content, lease), descriptor, this.#call())
    await this.#content.put(descriptor, streamOf(root.bytes), { lease })
    this.#kept.push({ subject, referrer: { descriptor, ...(tag === undefined ? {} : { tag }) } })
    return true
  }

  #call(): CallOptions {
    const { signal, onProgress } = this.#options
    const over = this.#over.signal
    return { signal: signal === undefined ? over : AbortSignal.any([signal, over]), ...(onProgress === undefined ? {} : { onProgress }) }
  }

  #tell(subject: Digest, state: string): void {
    // Of an image that did not come there is nothing to tell.
    if (this.#over.signal.aborted && this.#over.signal.reason !== LATE) return
    this.#options.onProgress?.({ id: '', status: `What is said about ${subject} is not kept: ${state}` })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#over.abort()
    await this.#begun
  }
}

/** Where referrers are sent. */
export interface ReferrerTarget {
  readonly repository: Repository
  /** The same repository, as the place where graphs go. */
  readonly sink: GraphSink
}

/**
 * Sends what one repository says about manifests, which another one has now too, along with them. What cannot be had or sent is
 * told, and left out, as by a `ReferrerIntake`.
 */
export async function forwardReferrers(
  from: Repository,
  subjects: Iterable<Digest>,
  to: ReferrerTarget,
  options: CallOptions,
): Promise<void> {
  await eachReferrer(from, subjects, options, async (subject, { descriptor, tag }) => {
    await sendReferrer(from, { subject, referrer: { descriptor, ...(tag === undefined ? {} : { tag }) } }, to, options)
  })
}

/** Gives each referrer once to `take`, and goes on to what refers to those. */
async function eachReferrer(
  repository: Repository,
  subjects: Iterable<Digest>,
  options: CallOptions,
  take: (subject: Digest, found: FoundReferrer) => Promise<void>,
): Promise<void> {
  let [count, bytes] = [0, 0]
  const queue = new Set(subjects)
  for (const subject of queue) {
    let isFound = false
    try {
      for await (const found of referrersOf(repository, subject, options)) {
        isFound = true
        if (queue.has(found.descriptor.digest)) continue
        if (count === MOST_REFERRERS) throw tooMany(repository, `there are more than ${MOST_REFERRERS}`)
        bytes += sizeOf(found)
        if (bytes > MOST_BYTES) throw tooMany(repository, `together they have more than ${MOST_BYTES} bytes`)
        await take(subject, found)
        queue.add(found.descriptor.digest)
        count += 1
      }
    } catch (error) {
      if (options.signal?.aborted === true || !isStrataError(error)) throw error
      // Many registries cannot tell.
      if (!isFound) continue
      options.onProgress?.({ id: '', status: `What is said about ${subject} is not kept: ${error.message}` })
    }
  }
}

/**
 * Whether a tag is where clients keep what is said about a manifest, and so names nothing of its own: distribution-spec
 * "Referrers Tag Schema", and cosign's signatures, attestations and lists of parts.
 */
export function isReferrersTag(tag: string): boolean {
  return /^sha(?:256|512)-[0-9a-f]{64}(?:\.(?:sig|att|sbom))?$/.test(tag)
}

interface FoundReferrer extends RemoteManifest {
  readonly tag?: string
}

/**
 * The manifests that refer to another one: below the tag where cosign puts signatures, and by the list of referrers
 * (SIGNATURE_SPEC.md "Tag-based Discovery").
 */
export async function* referrersOf(repository: Repository, subject: Digest, options: CallOptions): AsyncGenerator<FoundReferrer> {
  // The list may be long, or not to be had.
  const tag = signatureTag(subject)
  const tagged = tag === undefined ? undefined : await findManifest(repository, tag, options)
  if (tag !== undefined && tagged !== undefined) yield { ...tagged, tag }
  for (const entry of await repository.referrers(subject, options)) {
    if (!isManifest(entry.mediaType)) continue
    const { bytes } = await repository.manifest(entry.digest, options)
    yield { descriptor: entry, bytes }
  }
}

async function findManifest(repository: Repository, tag: string, options: CallOptions): Promise<RemoteManifest | undefined> {
  try {
    return await repository.manifest(tag, options)
  } catch (error) {
    if (isStrataError(error, 'notFound')) return undefined
    throw error
  }
}

/** Of a manifest and all that it names, in bytes. */
function sizeOf({ descriptor, bytes }: RemoteManifest): number {
  const { config, layers } = parseManifest(bytes, descriptor.mediaType)
  return [config, ...layers].reduce((sum, blob) => sum + blob.size, bytes.length)
}

function tooMany({ name }: Repository, state: string): StrataError {
  return new StrataError('resourceExhausted', 'STRATA_TOO_LARGE', `Cannot take along what refers to an image of "${name}": ${state}`)
}

/** Sends what the store has of what is said about manifests along with them, the way it was found: by reference, or by tag. */
export async function sendReferrers(
  content: DiskContentStore,
  referrers: readonly KeptReferrer[],
  to: ReferrerTarget,
  options: CallOptions,
): Promise<void> {
  for (const each of referrers) await sendReferrer(content, each, to, options)
}

async function sendReferrer(
  source: BlobSource,
  { subject, referrer }: KeptReferrer,
  { repository, sink }: ReferrerTarget,
  options: CallOptions,
): Promise<void> {
  const root = await copyGraph(source, sink, plain(referrer.descriptor), options)
  if (referrer.tag === undefined) await repository.putReferrer(subject, { ...root, descriptor: referrer.descriptor }, options)
  else await repository.putManifest(referrer.tag, root, options)
}

const plain = ({ mediaType, digest, size }: Descriptor): Descriptor => ({ mediaType, digest, size })
