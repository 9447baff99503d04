import { StrataError } from '../base/index.ts'
import { withReserve } from '../metadata/index.ts'
import type { ImageRecord, KeptRoot } from '../image/index.ts'
import { type Digest, familiarName, type ImageId, parseReference, type Reference } from '../oci/index.ts'
import type { Collected } from './garbage.ts'
import { hasLabel, listImages } from './imageList.ts'
import type { ImagePruneOptions, ImageRemoval, ImageRemoveOptions } from './images.ts'
import type { PruneReport } from '../container/index.ts'
import type { Stores } from './stores.ts'
import { untaggedRoots } from './untaggedRoots.ts'

/** A container, as far as it keeps an image from being removed. */
export interface ImageUser {
  readonly containerId: string
  readonly imageId: string
  readonly running: boolean
}

export interface RemovalContext {
  readonly stores: Stores
  /** Asked inside the transaction. */
  readonly users: () => readonly ImageUser[]
  /** @param interrupted also what killed commands were making */
  collect(interrupted: boolean): Promise<Collected>
}

/** Removes a name, or an image with all its names; docker's rules for what is refused without force. */
export async function removeImage(context: RemovalContext, text: string, options: ImageRemoveOptions): Promise<readonly ImageRemoval[]> {
  // Looked up and removed in one transaction: a name that somebody gives meanwhile is not lost.
  const { stores } = context
  const removals = withReserve(stores.metadata, () =>
    stores.changeImages(() => {
      const before = new Set(untaggedRoots(stores).map(({ name }) => name))
      const removed = removeNow(context, text, options)
      // The parts of an index that are kept by their own digests, too, go with its last tag.
      const parts = abandonedRoots(stores).filter(({ name }) => !before.has(name))
      return [...removed, ...removeRoots(stores, parts), ...dropRoots(context)]
    }),
  )
  if (removals.some(({ kind }) => kind === 'deleted')) await context.collect(false)
  return removals
}

/** The images that were here as parts of an index only go with its last name. */
function dropRoots({ stores, users }: RemovalContext): readonly ImageRemoval[] {
  const used = new Set(users().map(({ imageId }) => imageId))
  return stores.images.dropUnnamedRoots(id => used.has(id)).map(({ id }) => ({ kind: 'deleted', id }))
}

function removeNow(context: RemovalContext, text: string, options: ImageRemoveOptions): readonly ImageRemoval[] {
  const { stores } = context
  const name = stores.images.nameMeant(text)
  if (name !== undefined && stores.images.named(name) === undefined) return removeArtifact(stores, name)
  const image = stores.images.resolve(text)
  const all = stores.images.withId(image.id).flatMap(each => [...each.names, ...each.repositoryDigests])
  if (name !== undefined && all.some(each => outlives(parseReference(each), name))) return untag(stores, name, image)
  const users = context.users()
  refuseUsed(users, stores, { image, text, options, byName: name !== undefined })
  // By force a running container's image loses its name only.
  if (name !== undefined && users.some(({ imageId, running }) => imageId === image.id && running)) return untag(stores, name, image)
  if (name === undefined) refusePart(image, text)
  if (name === undefined && !isSingle(all) && options.force !== true) {
    throw new StrataError('conflict', 'STRATA_IMAGE_HAS_NAMES', `Cannot remove image "${text}": it has several names (${all.join(', ')})`, {
      hint: 'Remove them one by one, or all at once with --force.',
    })
  }
  return deleteImage(stores, users, { id: image.id, ...options })
}

/** An artifact is its name: with the last one it goes. */
function removeArtifact(stores: Stores, name: Reference): readonly ImageRemoval[] {
  const root = stores.images.rootOf(name)!
  stores.images.removeName(name)
  // The digest under which the repository gave it out goes with the name.
  stores.images.removeName({ domain: name.domain, path: name.path, digest: root.digest })
  const isLeft = isNamed(stores, root.digest)
  const untagged: ImageRemoval = { kind: 'untagged', name: familiarName(name) }
  return isLeft ? [untagged] : [untagged, { kind: 'deleted', id: root.digest }]
}

const isNamed = ({ images }: Stores, digest: Digest): boolean =>
  [...images.roots(), ...images.rootsByDigest()].some(({ root }) => root.digest === digest)

/** What is kept by its digest alone, and not by a push that may still come to its tag. */
function abandonedRoots(stores: Stores): readonly KeptRoot[] {
  const held = new Set(stores.leases.resources().flatMap(({ kind, id }) => (kind === 'blob' ? [id] : [])))
  return untaggedRoots(stores).filter(({ root }) => !held.has(root.digest))
}

function removeRoots(stores: Stores, roots: readonly KeptRoot[]): readonly ImageRemoval[] {
  for (const { name } of roots) stores.images.removeName(parseReference(name))
  const gone = [...new Set(roots.map(({ root }) => root.digest))].filter(digest => !isNamed(stores, digest))
  const untagged = roots.map(({ name }): ImageRemoval => ({ kind: 'untagged', name: familiarName(parseReference(name)) }))
  return [...untagged, ...gone.map((id): ImageRemoval => ({ kind: 'deleted', id }))]
}

/** The index that has an image without a name of its own keeps its blobs. */
function refusePart({ names, repositoryDigests, isPartOfIndex }: ImageRecord, text: string): void {
  if (!isPartOfIndex || names.length + repositoryDigests.length > 0) return
  throw new StrataError(
    'conflict',
    'STRATA_IMAGE_IS_PART',
    `Cannot remove image "${text}": it is one of the platforms of an index that is kept`,
    {
      hint: 'Remove the name of the index.',
    },
  )
}

/** Whether a name of an image is still one when another is removed: the digests of a repository go with its last tag. */
function outlives(each: Reference, removed: Reference): boolean {
  const isSameRepository = each.domain === removed.domain && each.path === removed.path
  if (!isSameRepository) return true
  return removed.digest === undefined ? each.digest === undefined && each.tag !== removed.tag : each.digest !== removed.digest
}

/**
 * Removes dangling images, or all that no container has, and then what nothing reaches. What is no image goes where it is kept
 * by its digest alone, and with `all` what a cache has.
 */
export async function pruneImages(context: RemovalContext, options: ImagePruneOptions): Promise<PruneReport<ImageRemoval>> {
  const { stores } = context
  const removed = withReserve(stores.metadata, () => {
    stores.leases.endAbandoned()
    return stores.changeImages(() => [...pruneNow(context, options), ...pruneRoots(stores, options), ...dropRoots(context)])
  })
  const { reclaimedBytes } = await context.collect(true)
  return { removed, reclaimedBytes }
}

function pruneNow({ stores, users: readUsers }: RemovalContext, options: ImagePruneOptions): readonly ImageRemoval[] {
  const users = readUsers()
  const used = new Set(users.map(({ imageId }) => imageId))
  const candidates = listImages(stores.images, { all: true, ...(options.until === undefined ? {} : { until: options.until }) }).filter(
    image =>
      !used.has(image.id) &&
      !image.isPart &&
      (options.all === true || image.tags.length === 0) &&
      (options.labels ?? []).every(label => hasLabel(image.labels, label)) &&
      !(options.labelsAbsent ?? []).some(label => hasLabel(image.labels, label)),
  )
  const children = new Set(stores.images.list().map(({ parentId }) => parentId))
  // A parent goes when its last child goes.
  const free = candidates.filter(({ id }) => options.all === true || !children.has(id as ImageId))
  return free.flatMap(({ id }) => deleteImage(stores, users, { id: id as ImageId }))
}

function pruneRoots(stores: Stores, { all, until, labels = [], labelsAbsent = [] }: ImagePruneOptions): readonly ImageRemoval[] {
  // They have neither labels nor a time that is known.
  if (until !== undefined || labels.length + labelsAbsent.length > 0) return []
  const cached = all === true ? stores.images.keptRoots().filter(({ isCached }) => isCached) : []
  return [...removeRoots(stores, cached), ...removeRoots(stores, abandonedRoots(stores))]
}

function untag(stores: Stores, name: Reference, image: ImageRecord): readonly ImageRemoval[] {
  stores.images.removeName(name)
  const removals: ImageRemoval[] = [{ kind: 'untagged', name: familiarName(name) }]
  const repository = familiarName({ domain: name.domain, path: name.path })
  const left = stores.images.get(image.manifest.digest)?.names ?? []
  const others = left.filter(each => repositoryOf(each) === repository)
  // With a repository's last tag its digests go too.
  if (others.length === 0)
    for (const digest of stores.images.removeRepositoryDigests(name, image.manifest.digest))
      removals.push({ kind: 'untagged', name: digest })
  return removals
}

function deleteImage(
  stores: Stores,
  users: readonly ImageUser[],
  { id, ...options }: ImageRemoveOptions & { readonly id: ImageId },
): readonly ImageRemoval[] {
  const images = stores.images.withId(id)
  // It went as the parent of another.
  if (images.length === 0) return []
  const removals: ImageRemoval[] = []
  for (const image of images) {
    for (const name of [...image.names, ...image.repositoryDigests]) removals.push({ kind: 'untagged', name })
    stores.images.delete(image.manifest.digest)
  }
  removals.push({ kind: 'deleted', id })
  const parent = images[0]?.parentId
  const record = parent === undefined ? undefined : stores.images.withId(parent)[0]
  const isFree =
    record !== undefined &&
    record.names.length + record.repositoryDigests.length === 0 &&
    !stores.images.list().some(({ parentId }) => parentId === parent) &&
    !users.some(({ imageId }) => imageId === parent)
  if (isFree && options.keepParents !== true) removals.push(...deleteImage(stores, users, { id: record.id }))
  return removals
}

interface RefusalCase {
  readonly image: ImageRecord
  readonly text: string
  readonly options: ImageRemoveOptions
  readonly byName: boolean
}

function refuseUsed(users: readonly ImageUser[], stores: Stores, { image, text, options, byName }: RefusalCase): void {
  const user = users.find(({ imageId, running }) => imageId === image.id && running) ?? users.find(({ imageId }) => imageId === image.id)
  if (user !== undefined && (user.running || options.force !== true)) {
    const hint = user.running ? 'Stop and remove the container first.' : 'Remove the container first, or use --force.'
    // By force docker takes the name away even from a running container's image.
    if (!(byName && options.force === true)) {
      throw new StrataError(
        'conflict',
        'STRATA_IMAGE_IN_USE',
        `Cannot remove image "${text}": ${user.running ? 'running ' : ''}container ${user.containerId.slice(0, 12)} is using it`,
        { hint },
      )
    }
  }
  const child = stores.images.list().find(({ parentId }) => parentId === image.id)
  if (child !== undefined && !byName) {
    throw new StrataError(
      'conflict',
      'STRATA_IMAGE_HAS_CHILDREN',
      `Cannot remove image "${text}": image ${child.id.slice(7, 19)} was made from it`,
      {
        hint: 'Remove that one first.',
      },
    )
  }
}

/** Whether removing an image takes no more names than one tag and the digests of its repository. */
const isSingle = (names: readonly string[]): boolean =>
  new Set(names.map(repositoryOf)).size <= 1 && names.filter(name => !name.includes('@')).length <= 1

function repositoryOf(name: string): string {
  const { domain, path } = parseReference(name)
  return familiarName({ domain, path })
}
