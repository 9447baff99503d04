import { type ByteStream, isStrataError, streamOf } from '../base/index.ts'
import {
  type Descriptor,
  digestAlgorithm,
  digestOf,
  isDigest,
  isIndex,
  isManifest,
  isTag,
  LIMITS,
  type ManifestDocument,
  parseManifestOrIndex,
  type Reference,
  withTag,
} from '../oci/index.ts'
import type { ImageRecording } from './recordImage.ts'
import { answer, answerBytes, contentType, type Exchange, isUnchanged, readBody, whileConnectionRests } from './exchange.ts'
import type { ServedStores } from './options.ts'
import { childrenOf, PushedGraph } from './pushedGraph.ts'
import { referrerOf } from './referrer.ts'
import type { Referrers } from './referrers.ts'
import { RegistryError } from './registryError.ts'
import type { Repositories } from './repositories.ts'
import type { Upstream } from './upstream.ts'

/** A manifest is small: who needs longer to send one has stalled. */
const BODY_TIMEOUT_MS = 60_000
/** distribution-spec "Pushing Manifests" asks for at least ten. */
const MOST_TAGS = 100

interface ManifestsOptions {
  readonly stores: ServedStores
  readonly repositories: Repositories
  readonly recording: ImageRecording
  readonly referrers: Referrers
  readonly upstream: Upstream | undefined
}

/** `/v2/<name>/manifests/<tag-or-digest>` */
export class Manifests {
  readonly #stores: ServedStores
  readonly #repositories: Repositories
  readonly #recording: ImageRecording
  readonly #referrers: Referrers
  readonly #upstream: Upstream | undefined

  constructor({ stores, repositories, recording, referrers, upstream }: ManifestsOptions) {
    this.#stores = stores
    this.#repositories = repositories
    this.#recording = recording
    this.#referrers = referrers
    this.#upstream = upstream
  }

  /** distribution-spec "Pulling manifests", "Checking if content exists in the registry" */
  async get(exchange: Exchange): Promise<void> {
    const { request, name, reference } = exchange
    // Nothing else goes upstream.
    if (!isTag(reference) && !isDigest(reference)) throw unknown()
    await this.#upstream?.refresh(exchange)
    const target = await this.#find(name, reference)
    const etag = `"${target.digest}"`
    const headers = { 'docker-content-digest': target.digest, etag }
    if (isUnchanged(exchange, etag)) return answer(exchange, 304, headers)
    const head = { ...headers, 'content-type': target.mediaType, 'content-length': target.size }
    if (request.method === 'HEAD') return answer(exchange, 200, head)
    await answerBytes(exchange, { status: 200, headers: head }, await this.#open(target))
  }

  /** distribution-spec "Pushing Manifests", "Pushing Manifests with Subject" */
  async put(exchange: Exchange): Promise<void> {
    const { name, reference } = exchange
    const bytes = await readBody(exchange, LIMITS.manifestBytes, BODY_TIMEOUT_MS)
    const tags = tagsOf(exchange)
    const digest = isDigest(reference) ? reference : digestOf(bytes)
    if (digestOf(bytes, digestAlgorithm(digest)) !== digest) throw new RegistryError('DIGEST_INVALID', 'the bytes have another digest')
    const document = readDocument(bytes, contentType(exchange))
    const { mediaType } = document.kind === 'index' ? document.index : document.manifest
    const root = { mediaType, digest, size: bytes.length }
    await whileConnectionRests(exchange, () => this.#store(name, { root, bytes, document }, tags))
    const { subject } = document.kind === 'index' ? document.index : document.manifest
    answer(exchange, 201, {
      location: `/v2/${name}/manifests/${digest}`,
      'docker-content-digest': digest,
      ...(subject === undefined ? {} : { 'oci-subject': subject.digest }),
      ...(exchange.query.has('tag') ? { 'oci-tag': tags.join(', ') } : {}),
    })
  }

  /**
   * distribution-spec "Deleting tags", "Deleting Manifests". What goes is the name: the content is collected with the next
   * prune. A tag that is left keeps what it leads to. Names that were not given by this registry's clients stay, which is "disabled" for them.
   */
  async delete(exchange: Exchange): Promise<void> {
    const { name, reference } = exchange
    const names = this.#namesOf(name, reference)
    const isKnown = names.length > 0 || this.#repositories.tags(name).has(reference)
    if (!isKnown) throw unknown()
    if (names.length === 0 || !names.every(each => this.#repositories.isOwn(each)))
      throw new RegistryError('UNSUPPORTED', 'this was not pushed here: only the registry’s own machine can remove it')
    const referrer = isDigest(reference) ? await this.#referrers.read(reference) : undefined
    const { images } = this.#stores
    this.#repositories.change(() => {
      for (const each of names) images.removeName(each)
      if (!isDigest(reference)) return
      if (referrer !== undefined) for (const each of names) images.removeReferrer(referrer.subject, reference, each)
      this.#repositories.waiting.end(name, [reference])
      // What has it in it and no tag any more goes with it: it would not be whole.
      for (const holder of this.#repositories.untaggedHolders(name, reference))
        if (this.#repositories.isOwn(holder)) images.removeName(holder)
      if (this.#repositories.reaches(name, reference))
        throw new RegistryError('UNSUPPORTED', 'another manifest names this one: delete that first')
    })
    answer(exchange, 202)
  }

  /** The names under which a repository has a manifest, by that tag alone or by whatever tag and digest. */
  #namesOf(name: string, tagOrDigest: string): readonly Reference[] {
    const { tags, digests } = this.#repositories.require(name)
    if (!isDigest(tagOrDigest)) return [...tags].flatMap(([tag, served]) => (tag === tagOrDigest ? [served.name] : []))
    const tagged = [...tags.values()].filter(({ root }) => root.digest === tagOrDigest).map(tag => tag.name)
    return [...tagged, ...(digests.get(tagOrDigest) ?? [])]
  }

  async #find(name: string, reference: string): Promise<Descriptor> {
    this.#repositories.require(name)
    if (!isDigest(reference)) {
      const root = this.#repositories.tags(name).get(reference)?.root
      if (root === undefined) throw unknown()
      return root
    }
    const blob = this.#repositories.reaches(name, reference) ? await this.#stores.content.stat(reference) : undefined
    // What was stored as something else is never given out as a manifest (CVE-2021-41190).
    if (blob === undefined || !(isManifest(blob.mediaType) || isIndex(blob.mediaType))) throw unknown()
    return blob
  }

  /** Another process may have removed it just now. */
  async #open(target: Descriptor): Promise<ByteStream> {
    try {
      return await this.#stores.content.open(target)
    } catch (error) {
      if (isStrataError(error, 'notFound')) throw unknown()
      throw error
    }
  }

  async #store(
    name: string,
    { root, bytes, document }: { readonly root: Descriptor; readonly bytes: Buffer; readonly document: ManifestDocument },
    tags: readonly string[],
  ): Promise<void> {
    await using lease = this.#stores.leases.create()
    lease.add({ kind: 'blob', id: root.digest })
    const graph = new PushedGraph(root, document, { stores: this.#stores, repositories: this.#repositories, name, lease })
    await graph.check()
    await this.#stores.content.put(root, streamOf(bytes), { lease })
    const names = tags.map(tag => this.#repositories.ownName(name, { tag }))
    const byDigest = this.#repositories.ownName(name, { digest: root.digest })
    await this.#recording.record({ descriptor: root, bytes }, names.length === 0 ? [byDigest] : names, {
      lease,
      graph,
      referrer: referrerOf(root, document),
    })
    const { waiting } = this.#repositories
    waiting.end(name, [root.digest, ...childrenOf(document).map(({ digest }) => digest)])
    // It may be a part of an index that is still to come.
    if (names.length === 0) waiting.addDocument(name, root.digest, waiting.hold(root.digest))
  }
}

const unknown = (): RegistryError => new RegistryError('MANIFEST_UNKNOWN', 'there is no such manifest in this repository')

/** The tags that a push gives: in the path, or several beside a digest. @throws RegistryError */
function tagsOf({ reference, query }: Exchange): readonly string[] {
  const tags = isDigest(reference) ? query.getAll('tag') : [reference]
  if (tags.length > MOST_TAGS) throw new RegistryError('MANIFEST_INVALID', `more than ${MOST_TAGS} tags`, { status: 414 })
  for (const tag of tags) {
    if (tag.includes(':')) throw new RegistryError('DIGEST_INVALID', 'the digest is none that is known here')
    try {
      withTag({ domain: 'localhost', path: 'x' }, tag)
    } catch {
      throw new RegistryError('MANIFEST_INVALID', 'a tag is one to 128 of letters, digits, "_", "." and "-"')
    }
  }
  return tags
}

/** @throws RegistryError MANIFEST_INVALID */
function readDocument(bytes: Buffer, mediaType: string): ManifestDocument {
  const isNamed = mediaType !== '' && mediaType !== 'application/json' && mediaType !== 'application/octet-stream'
  try {
    return parseManifestOrIndex(bytes, isNamed ? mediaType : undefined)
  } catch (error) {
    if (!isStrataError(error)) throw error
    throw new RegistryError('MANIFEST_INVALID', error.message)
  }
}
