import { StrataError } from '../base/index.ts'
import type { Metadata, Resource } from '../metadata/index.ts'
import {
  findReference,
  type ChainId,
  type Descriptor,
  type DiffId,
  type Digest,
  familiarForm,
  formatReference,
  type ImageId,
  isIndex,
  parseReference,
  type Reference,
  withDefaultTag,
} from '../oci/index.ts'
import { type Origin, Origins, ORIGINS_SCHEMA } from './origins.ts'
import { CACHED_NAMES_SCHEMA, type KeptRoot, type Referrer, Roots, ROOTS_SCHEMA } from './roots.ts'

/*
 * An image is a manifest that is here for this machine's or another platform. Names (tags) point to
 * manifests; so do repository digests, which say under which digest a registry gave the image out
 * (that of an index, where the tag stood for one). Two manifests may have one config, and so one
 * ImageId: pulled with compressed layers, and loaded with plain ones.
 */
const SCHEMA = [
  `CREATE TABLE images (
     manifest TEXT PRIMARY KEY,
     descriptor TEXT NOT NULL,
     image_id TEXT NOT NULL,
     parent_id TEXT NOT NULL,
     diff_ids TEXT NOT NULL,
     chain_id TEXT,
     created_at INTEGER,
     labels TEXT NOT NULL,
     content_bytes INTEGER NOT NULL,
     last_tagged_at INTEGER
   ) STRICT;
   CREATE INDEX images_by_id ON images(image_id);
   CREATE TABLE image_names (
     name TEXT PRIMARY KEY,
     manifest TEXT NOT NULL REFERENCES images(manifest) ON DELETE CASCADE
   ) STRICT;
   CREATE INDEX image_names_by_manifest ON image_names(manifest);
   CREATE TABLE image_digests (
     repository TEXT NOT NULL,
     digest TEXT NOT NULL,
     manifest TEXT NOT NULL REFERENCES images(manifest) ON DELETE CASCADE,
     PRIMARY KEY (repository, digest)
   ) STRICT;
   CREATE INDEX image_digests_by_manifest ON image_digests(manifest);`,
  ROOTS_SCHEMA,
  CACHED_NAMES_SCHEMA,
  ORIGINS_SCHEMA,
]

/** What is known of an image without reading a blob. */
export interface ImageFacts {
  readonly manifest: Descriptor
  readonly id: ImageId
  /** The image that this one was made from here, by commit or build. */
  readonly parentId: ImageId | undefined
  /** Base first. */
  readonly diffIds: readonly DiffId[]
  /** Identity of the whole stack; undefined for an image without layers. */
  readonly chainId: ChainId | undefined
  readonly createdAt: Date | undefined
  readonly labels: Readonly<Record<string, string>>
  /** The sum over layers of file content bytes. */
  readonly contentBytes: number
}

/** What a whole name stands for. */
export interface NamedRoot {
  /** Canonical: `docker.io/library/debian:12`. */
  readonly name: string
  readonly root: Descriptor
}

export interface ImageRecord extends ImageFacts {
  /** Familiar names with tags, sorted: `debian:12`. */
  readonly names: readonly string[]
  /** Familiar repositories with a digest, sorted: `debian@sha256:…`. */
  readonly repositoryDigests: readonly string[]
  /** When it got its newest name. */
  readonly lastTaggedAt: Date | undefined
  /** Whether it is one of the images of an index that is kept. */
  readonly isPartOfIndex: boolean
}

interface Row {
  readonly manifest: string
  readonly descriptor: string
  readonly image_id: string
  readonly parent_id: string
  readonly diff_ids: string
  readonly chain_id: string | null
  readonly created_at: number | null
  readonly labels: string
  readonly content_bytes: number
  readonly last_tagged_at: number | null
  readonly names: string | null
  readonly digests: string | null
  readonly is_part: number
}

const SELECT = `SELECT images.*,
  (SELECT json_group_array(name) FROM image_names WHERE image_names.manifest = images.manifest) AS names,
  (SELECT json_group_array(repository || '@' || digest) FROM image_digests WHERE image_digests.manifest = images.manifest) AS digests,
  EXISTS (SELECT 1 FROM root_images WHERE root_images.manifest = images.manifest) AS is_part
  FROM images`

const WHOLE_ID = /^(?:sha256:)?([0-9a-f]{64})$/

/** Names → images. Methods are synchronous; each that writes is one durable transaction. */
export class ImageStore {
  readonly #metadata: Metadata
  readonly #roots: Roots
  readonly #origins: Origins

  constructor(metadata: Metadata) {
    this.#metadata = metadata
    this.#roots = new Roots(metadata)
    this.#origins = new Origins(metadata)
    metadata.migrate('image', SCHEMA)
  }

  /**
   * Stores an image, or what is newly known of it. Its blobs, layers and snapshots must be there; from
   * here on the image holds them.
   *
   * @param origins the registries' repositories that it came from; what was made here before stays so, whoever has it too
   */
  put(facts: ImageFacts, ...origins: readonly Origin[]): void {
    this.#metadata.transaction(() => {
      const { digest } = facts.manifest
      const isMadeHere = this.get(digest) !== undefined && this.originsOf(digest).length === 0
      this.#put(facts)
      if (!isMadeHere) for (const origin of origins) this.#origins.add(digest, origin)
    })
  }

  #put(facts: ImageFacts): void {
    this.#metadata.run(
      `INSERT INTO images (manifest, descriptor, image_id, parent_id, diff_ids, chain_id, created_at, labels, content_bytes)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
       ON CONFLICT (manifest) DO UPDATE SET
         content_bytes = excluded.content_bytes,
         parent_id = CASE parent_id WHEN '' THEN excluded.parent_id ELSE parent_id END`,
      facts.manifest.digest,
      JSON.stringify(facts.manifest),
      facts.id,
      facts.parentId ?? '',
      JSON.stringify(facts.diffIds),
      facts.chainId ?? null,
      facts.createdAt?.getTime() ?? null,
      JSON.stringify(facts.labels),
      facts.contentBytes,
    )
  }

  /**
   * Gives a stored image a name, which stands for this image alone; whoever had the name loses it, and stays.
   *
   * Returns the manifest that had the name before.
   * @throws StrataError `invalidArgument` for a reference with a digest
   */
  setName(reference: Reference, manifest: Digest): Digest | undefined {
    const name = nameOf(reference)
    return this.#metadata.transaction(() => {
      const before = this.#metadata.get<{ manifest: string }>('SELECT manifest FROM image_names WHERE name = ?', name)?.manifest
      this.#roots.removeName(name)
      this.#metadata.run(
        'INSERT INTO image_names (name, manifest) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET manifest = excluded.manifest',
        name,
        manifest,
      )
      this.#metadata.run('UPDATE images SET last_tagged_at = ? WHERE manifest = ?', Date.now(), manifest)
      return before as Digest | undefined
    })
  }

  /**
   * Lets a name, or a repository's digest, stand for an index with those of its images that are here, or for an artifact.
   * The blobs must be there; from here on the root holds them.
   *
   * @param images.all the images of the index that are here; those are stored
   * @param images.chosen which one of them is meant where an image is; without it the name is no image's
   * @param images.isCached whether a cache has it, which would fetch it again
   * @param origins the registries' repositories that the root came from
   */
  setRoot(
    reference: Reference,
    root: Descriptor,
    images: { readonly all: readonly Digest[]; readonly chosen?: Digest; readonly isCached?: boolean },
    ...origins: readonly Origin[]
  ): void {
    this.#metadata.transaction(() => {
      if (images.chosen === undefined) this.#metadata.run('DELETE FROM image_names WHERE name = ?', rootNameOf(reference))
      else if (reference.digest === undefined) this.setName(reference, images.chosen)
      else this.addRepositoryDigest(reference, reference.digest, images.chosen)
      this.#roots.set({ name: rootNameOf(reference), root, isCached: images.isCached ?? false }, images.all)
      for (const origin of origins) this.#origins.add(root.digest, origin)
    })
  }

  /** What a name stands for: an index or artifact that is kept whole, or the manifest of its image. */
  rootOf(reference: Reference): Descriptor | undefined {
    return this.#roots.of(rootNameOf(reference)) ?? this.named(reference)?.manifest
  }

  /** The images of an index that is kept. */
  imagesOf(root: Digest): readonly ImageRecord[] {
    return this.#roots.imagesOf(root).flatMap(manifest => this.get(manifest) ?? [])
  }

  /** The names of indexes, of artifacts and of what a cache has, with a tag or a digest. In order. */
  keptRoots(): readonly KeptRoot[] {
    return this.#roots.list()
  }

  /** Every name with a tag, canonical and sorted, and what it stands for. */
  roots(): readonly NamedRoot[] {
    const images = this.#metadata.all<{ name: string; descriptor: string }>(
      'SELECT name, descriptor FROM image_names JOIN images USING (manifest)',
    )
    return this.#withKept(images, name => !name.includes('@'))
  }

  /** The same for every repository with a digest whose content is here; that of an index is not, where one image of it was taken. */
  rootsByDigest(): readonly NamedRoot[] {
    const images = this.#metadata.all<{ name: string; descriptor: string }>(
      `SELECT repository || '@' || digest AS name, descriptor FROM image_digests JOIN images USING (manifest) WHERE digest = manifest`,
    )
    return this.#withKept(images, name => name.includes('@'))
  }

  /**
   * Repositories with the digests of indexes of which one image was taken: `docker.io/library/debian@sha256:…`. They are
   * not here themselves; what is said about them is.
   */
  indexesElsewhere(): readonly string[] {
    return this.#metadata
      .all<{ name: string }>(
        `SELECT repository || '@' || digest AS name FROM image_digests
           WHERE digest <> manifest AND repository || '@' || digest NOT IN (SELECT name FROM root_names) ORDER BY 1`,
      )
      .map(({ name }) => name)
  }

  /** Images by name, and the indexes and artifacts, which come before an image of the same name. */
  #withKept(
    images: readonly { readonly name: string; readonly descriptor: string }[],
    isWanted: (name: string) => boolean,
  ): readonly NamedRoot[] {
    const all = new Map(images.map(({ name, descriptor }) => [name, JSON.parse(descriptor) as Descriptor]))
    for (const { name, root } of this.#roots.list()) if (isWanted(name)) all.set(name, root)
    return [...all].map(([name, root]) => ({ name, root })).sort((a, b) => (a.name < b.name ? -1 : 1))
  }

  /**
   * Forgets the indexes and artifacts that have no name any more, with the images that were here only as parts of an index.
   *
   * @param isUsed images that a container has stay
   * Returns the images that went.
   */
  dropUnnamedRoots(isUsed: (id: ImageId) => boolean = () => false): readonly ImageRecord[] {
    return this.#metadata.transaction(() => {
      const dropped = this.#roots.dropUnnamed().flatMap(manifest => this.get(manifest) ?? [])
      const free = dropped.filter(({ id }) => !isUsed(id))
      for (const { manifest } of free) this.delete(manifest.digest)
      return free
    })
  }

  /** Where an image, an index or an artifact came from: nowhere, when it was made here or came in a file. */
  originsOf(root: Digest): readonly Origin[] {
    return this.#origins.of(root)
  }

  /**
   * The repositories (canonical) whose word about an image, an index or an artifact counts. Who can write to another one,
   * or push to one that is served here, says nothing about it.
   *
   * @param name by which it is meant: where it came from that repository, only what was said there counts; else what was said
   *   where it was pulled from, and below the name itself. Without one it is meant by its id.
   */
  repositoriesAbout(root: Digest, name: Reference | undefined): readonly string[] {
    const origins = this.originsOf(root)
    const own = name === undefined ? [] : [repositoryOf(name)]
    if (origins.some(({ repository }) => own.includes(repository))) return own
    const pulled = origins.filter(({ isPushed }) => !isPushed)
    const others = pulled.length === 0 && name === undefined ? origins : pulled
    return [...new Set([...own, ...others.map(({ repository }) => repository)])]
  }

  /**
   * Remembers a manifest that says something about another one, which holds it from here on; its blobs must be there.
   *
   * @param from the repository where it was said
   */
  addReferrer(subject: Digest, referrer: Referrer, from: Reference): void {
    this.#roots.addReferrer(subject, referrer, repositoryOf(from))
  }

  /** Forgets that one of the manifests that say something about another was said in this repository. */
  removeReferrer(subject: Digest, referrer: Digest, from: Reference): void {
    this.#roots.removeReferrer(subject, referrer, repositoryOf(from))
  }

  /** What is said about a manifest. @param repositories where it was said; everywhere without it */
  referrersOf(subject: Digest, repositories?: readonly string[]): readonly Referrer[] {
    return this.#roots.referrersOf(subject, repositories)
  }

  /** Forgets what is said about manifests that are gone, or by them. For a collection, which takes their blobs. */
  forgetReferrers(gone: Iterable<Digest>): void {
    this.#metadata.transaction(() => {
      for (const manifest of gone) this.#roots.forgetReferrers(manifest)
    })
  }

  /** What indexes and artifacts keep from being collected, beside the images. */
  rootReferences(): readonly Resource[] {
    return this.#roots.list().flatMap(({ root }) => this.#withReferrers(root.digest))
  }

  /** Remembers under which digest a registry gave an image out or took it. */
  addRepositoryDigest(reference: Reference, digest: Digest, manifest: Digest): void {
    this.#metadata.run(
      'INSERT INTO image_digests (repository, digest, manifest) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET manifest = excluded.manifest',
      repositoryOf(reference),
      digest,
      manifest,
    )
  }

  /** Takes one name or repository digest away; the image stays. Returns whether it was there. */
  removeName(reference: Reference): boolean {
    return this.#metadata.transaction(() => {
      const hadRoot = this.#roots.removeName(rootNameOf(reference))
      if (reference.digest === undefined)
        return this.#metadata.run('DELETE FROM image_names WHERE name = ?', nameOf(reference)) > 0 || hadRoot
      const digests = 'DELETE FROM image_digests WHERE repository = ? AND digest = ?'
      return this.#metadata.run(digests, repositoryOf(reference), reference.digest) > 0 || hadRoot
    })
  }

  /** Forgets a repository's digests of an image, as docker does with a repository's last tag. */
  removeRepositoryDigests(reference: Reference, manifest: Digest): readonly string[] {
    const repository = repositoryOf(reference)
    return this.#metadata.transaction(() => {
      const rows = this.#metadata.all<{ digest: string }>(
        'SELECT digest FROM image_digests WHERE repository = ? AND manifest = ?',
        repository,
        manifest,
      )
      this.#metadata.run('DELETE FROM image_digests WHERE repository = ? AND manifest = ?', repository, manifest)
      for (const { digest } of rows) this.#roots.removeName(`${repository}@${digest}`)
      return rows.map(({ digest }) => familiarForm(`${repository}@${digest}`))
    })
  }

  /** Forgets an image with its names; what only it held can be collected from then on. */
  delete(manifest: Digest): void {
    this.#metadata.transaction(() => {
      const image = this.get(manifest)
      for (const name of [...(image?.names ?? []), ...(image?.repositoryDigests ?? [])])
        this.#roots.removeName(formatReference(parseReference(name)))
      this.#metadata.run('DELETE FROM images WHERE manifest = ?', manifest)
    })
  }

  get(manifest: Digest): ImageRecord | undefined {
    const row = this.#metadata.get<Row>(`${SELECT} WHERE images.manifest = ?`, manifest)
    return row === undefined ? undefined : recordOf(row)
  }

  /** All manifests of one image id, those with names first. */
  withId(id: ImageId): readonly ImageRecord[] {
    return this.#metadata
      .all<Row>(`${SELECT} WHERE image_id = ?`, id)
      .map(recordOf)
      .sort((a, b) => b.names.length - a.names.length)
  }

  named(reference: Reference): ImageRecord | undefined {
    const row =
      reference.digest === undefined
        ? this.#metadata.get<Row>(`${SELECT} JOIN image_names ON image_names.manifest = images.manifest WHERE name = ?`, nameOf(reference))
        : this.#metadata.get<Row>(
            `${SELECT} JOIN image_digests ON image_digests.manifest = images.manifest WHERE repository = ? AND digest = ?`,
            repositoryOf(reference),
            reference.digest,
          )
    return row === undefined ? undefined : recordOf(row)
  }

  /**
   * The image that people mean by `text`: a name, an id, or a unique prefix of one, in docker's order.
   *
   * @throws StrataError `notFound` (STRATA_NO_SUCH_IMAGE, and STRATA_NO_IMAGE for an artifact), `invalidArgument` (STRATA_AMBIGUOUS_ID, STRATA_REFERENCE_INVALID)
   */
  resolve(text: string): ImageRecord {
    const record = this.find(text)
    if (record !== undefined) return record
    // What can be no name at all is told as such.
    if (!WHOLE_ID.test(text)) parseReference(text)
    const name = this.nameMeant(text)
    const root = name === undefined ? undefined : this.rootOf(name)
    if (root !== undefined && !isIndex(root.mediaType)) {
      throw new StrataError('notFound', 'STRATA_NO_IMAGE', `Cannot use "${text}" as an image: it is an artifact`, {
        hint: '`strata artifact ls` lists what is here and is no image.',
      })
    }
    throw new StrataError('notFound', 'STRATA_NO_SUCH_IMAGE', `Cannot find image "${text}": no such image`, {
      hint: `Get it with \`strata pull\`, \`strata load\` or \`strata import\`; \`strata images\` lists what is here.`,
    })
  }

  /** As `resolve`, with undefined for an image that is not here. Unparsable names are not here either. */
  find(text: string): ImageRecord | undefined {
    const whole = WHOLE_ID.exec(text)?.[1]
    if (whole !== undefined) return this.withId(`sha256:${whole}` as ImageId)[0]
    return this.#byName(text) ?? this.#byPrefix(text)
  }

  /** The name that `text` is here, of an image, an index or an artifact, where it is one and not an id: names come before prefixes of ids. */
  nameMeant(text: string): Reference | undefined {
    const reference = WHOLE_ID.test(text) ? undefined : findReference(text)
    return reference === undefined || this.rootOf(reference) === undefined ? undefined : reference
  }

  list(): readonly ImageRecord[] {
    return this.#metadata.all<Row>(`${SELECT} ORDER BY created_at DESC, images.manifest`).map(recordOf)
  }

  /** What an image keeps from being collected. */
  references(manifest: Digest): readonly Resource[] {
    const row = this.#metadata.get<{ diff_ids: string; chain_id: string | null }>(
      'SELECT diff_ids, chain_id FROM images WHERE manifest = ?',
      manifest,
    )
    if (row === undefined) return []
    const layers = (JSON.parse(row.diff_ids) as DiffId[]).map(id => ({ kind: 'layer', id }))
    const snapshot = row.chain_id === null ? [] : [{ kind: 'snapshot', id: row.chain_id }]
    const digests = this.#metadata.all<{ digest: string }>('SELECT digest FROM image_digests WHERE manifest = ?', manifest)
    // What is said about the index that it came from is said about the image.
    const given = [...digests.map(({ digest }) => digest as Digest), ...this.originsOf(manifest).map(origin => origin.given)]
    return [...this.#withReferrers(manifest, ...given), ...layers, ...snapshot]
  }

  /** Manifests with what is said about them, and about that. */
  #withReferrers(...manifests: readonly Digest[]): readonly Resource[] {
    const reached = new Set(manifests)
    for (const digest of reached) for (const { descriptor } of this.#roots.referrersOf(digest)) reached.add(descriptor.digest)
    return [...reached].map(id => ({ kind: 'blob', id }))
  }

  #byName(text: string): ImageRecord | undefined {
    const reference = findReference(text)
    return reference === undefined ? undefined : this.named(reference)
  }

  #byPrefix(text: string): ImageRecord | undefined {
    const prefix = /^(?:sha256:)?([0-9a-f]{1,63})$/.exec(text)?.[1]
    if (prefix === undefined) return undefined
    const ids = this.#metadata.all<{ image_id: string }>(
      'SELECT DISTINCT image_id FROM images WHERE image_id >= ? AND image_id < ? LIMIT 2',
      `sha256:${prefix}`,
      `sha256:${prefix}g`,
    )
    if (ids.length > 1) {
      throw new StrataError('invalidArgument', 'STRATA_AMBIGUOUS_ID', `Cannot find image "${text}": several image ids begin like this`)
    }
    return ids[0] === undefined ? undefined : this.withId(ids[0].image_id as ImageId)[0]
  }
}

/** With a digest the tag says nothing more. */
function rootNameOf({ domain, path, tag, digest }: Reference): string {
  return formatReference(
    digest === undefined ? withDefaultTag({ domain, path, ...(tag === undefined ? {} : { tag }) }) : { domain, path, digest },
  )
}

const repositoryOf = (reference: Reference): string => `${reference.domain}/${reference.path}`

function nameOf(reference: Reference): string {
  if (reference.digest !== undefined) {
    throw new StrataError(
      'invalidArgument',
      'STRATA_NAME_HAS_DIGEST',
      `Cannot name an image "${formatReference(reference)}": a name with a digest cannot be given`,
    )
  }
  return formatReference(withDefaultTag(reference))
}

function recordOf(row: Row): ImageRecord {
  const texts = (json: string | null): readonly string[] => (JSON.parse(json ?? '[]') as string[]).map(familiarForm).sort()
  return {
    manifest: JSON.parse(row.descriptor) as Descriptor,
    id: row.image_id as ImageId,
    parentId: row.parent_id === '' ? undefined : (row.parent_id as ImageId),
    diffIds: JSON.parse(row.diff_ids) as DiffId[],
    chainId: (row.chain_id ?? undefined) as ChainId | undefined,
    createdAt: row.created_at === null ? undefined : new Date(row.created_at),
    labels: JSON.parse(row.labels) as Record<string, string>,
    contentBytes: row.content_bytes,
    names: texts(row.names),
    repositoryDigests: texts(row.digests),
    lastTaggedAt: row.last_tagged_at === null ? undefined : new Date(row.last_tagged_at),
    isPartOfIndex: row.is_part === 1,
  }
}
