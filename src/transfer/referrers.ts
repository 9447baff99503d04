import { type CallOptions, isStrataError, StrataError, streamOf } from '../base/index.ts'
import type { DiskContentStore } from '../content/index.ts'
import type { Referrer } from '../image/index.ts'
import type { Lease } from '../metadata/index.ts'
import { type Descriptor, type Digest, isManifest, parseManifest } from '../oci/index.ts'
import type { RemoteManifest, Repository } from '../registry/index.ts'
import { signatureTag } from '../signature/index.ts'
import { ContentSink } from './contentSink.ts'
import { copyGraph } from './copyGraph.ts'
import type { RepositorySink } from './repositorySink.ts'

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
  subjects: readonly Digest[],
  content: DiskContentStore,
  options: CallOptions & { readonly lease: Lease },
): Promise<readonly KeptReferrer[]> {
  const kept: KeptReferrer[] = []
  const sink = new ContentSink(content, options.lease)
  const queue = new Set(subjects)
  for (const subject of queue) {
    let isFound = false
    try {
      for await (const { descriptor, bytes, tag } of referrersOf(repository, subject, options)) {
        isFound = true
        if (queue.has(descriptor.digest)) continue
        if (kept.length === MAX_REFERRERS) throw tooMany(repository, `there are more than ${MAX_REFERRERS}`)
        checkSize(repository, { descriptor, bytes })
        const root = await copyGraph(repository, sink, descriptor, options)
        await content.put(descriptor, streamOf(root.bytes), { lease: options.lease })
        queue.add(descriptor.digest)
        kept.push({ subject, referrer: { descriptor, ...(tag === undefined ? {} : { tag }) } })
      }
    } catch (error) {
      if (options.signal?.aborted === true || !isStrataError(error)) throw error
      // Many registries cannot tell.
      if (!isFound) continue
      options.onProgress?.({ id: '', status: `What is said about ${subject} is not kept: ${error.message}` })
    }
  }
  return kept
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

/** Sends what is said about manifests along with them, the way it was found: by reference, or by tag. */
export async function sendReferrers(
  repository: Repository,
  referrers: readonly KeptReferrer[],
  from: { readonly content: DiskContentStore; readonly sink: RepositorySink },
  options: CallOptions,
): Promise<void> {
  for (const { subject, referrer } of referrers) {
    const root = await copyGraph(from.content, from.sink, plain(referrer.descriptor), options)
    if (referrer.tag === undefined) await repository.putReferrer(subject, { ...root, descriptor: referrer.descriptor }, options)
    else await repository.putManifest(referrer.tag, root, options)
  }
}

const plain = ({ mediaType, digest, size }: Descriptor): Descriptor => ({ mediaType, digest, size })
