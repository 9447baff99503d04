import { type CallOptions, isStrataError, StrataError, streamOf } from '../base/index.ts'
import type { BlobSource, DiskContentStore } from '../content/index.ts'
import type { Referrer } from '../image/index.ts'
import type { Lease } from '../metadata/index.ts'
import { type Descriptor, type Digest, isManifest, parseManifest } from '../oci/index.ts'
import type { RemoteManifest, Repository } from '../registry/index.ts'
import { signatureTag } from '../signature/index.ts'
import { ContentSink } from './contentSink.ts'
import { copyGraph, type GraphSink } from './copyGraph.ts'

/** What comes along with an image unasked: so many manifests, and so many bytes of each. */
const MAX_REFERRERS = 64
const MAX_REFERRER_BYTES = 64 * 1024 * 1024

/** A referrer and the manifest that it is about. */
export interface KeptReferrer {
  readonly subject: Digest
  readonly referrer: Referrer
}

/**
 * Brings what a repository says about manifests into the store: signatures, lists of parts, attestations, and what is said
 * about those. The caller records what this resolves with. What is there and cannot be had is told, and left out: the
 * image is whole without it.
 */
export async function takeReferrers(
  repository: Repository,
  subjects: Iterable<Digest>,
  content: DiskContentStore,
  options: CallOptions & { readonly lease: Lease },
): Promise<readonly KeptReferrer[]> {
  const kept: KeptReferrer[] = []
  const sink = new ContentSink(content, options.lease)
  await eachReferrer(repository, subjects, options, async (subject, { descriptor, tag }) => {
    const root = await copyGraph(repository, sink, descriptor, options)
    await content.put(descriptor, streamOf(root.bytes), { lease: options.lease })
    kept.push({ subject, referrer: { descriptor, ...(tag === undefined ? {} : { tag }) } })
  })
  return kept
}

/** Where referrers are sent. */
export interface ReferrerTarget {
  readonly repository: Repository
  /** The same repository, as the place where graphs go. */
  readonly sink: GraphSink
}

/**
 * Sends what one repository says about manifests, which another one has now too, along with them. What cannot be had or sent is
 * told, and left out, as by `takeReferrers`.
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
  let count = 0
  const queue = new Set(subjects)
  for (const subject of queue) {
    let isFound = false
    try {
      for await (const found of referrersOf(repository, subject, options)) {
        isFound = true
        if (queue.has(found.descriptor.digest)) continue
        if (count === MAX_REFERRERS) throw tooMany(repository, `there are more than ${MAX_REFERRERS}`)
        checkSize(repository, found)
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
 * The manifests that refer to another one: by the list of referrers, and below the tag where cosign puts signatures
 * (SIGNATURE_SPEC.md "Tag-based Discovery").
 */
export async function* referrersOf(repository: Repository, subject: Digest, options: CallOptions): AsyncGenerator<FoundReferrer> {
  for (const entry of await repository.referrers(subject, options)) {
    if (!isManifest(entry.mediaType)) continue
    const { bytes } = await repository.manifest(entry.digest, options)
    yield { descriptor: entry, bytes }
  }
  const tag = signatureTag(subject)
  if (tag === undefined) return
  try {
    yield { ...(await repository.manifest(tag, options)), tag }
  } catch (error) {
    if (!isStrataError(error, 'notFound')) throw error
  }
}

function checkSize(repository: Repository, { descriptor, bytes }: RemoteManifest): void {
  const { config, layers } = parseManifest(bytes, descriptor.mediaType)
  const size = [config, ...layers].reduce((sum, blob) => sum + blob.size, 0)
  if (size > MAX_REFERRER_BYTES) throw tooMany(repository, `${descriptor.digest} has ${size} bytes`)
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
