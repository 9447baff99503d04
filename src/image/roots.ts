import type { Metadata } from '../metadata/index.ts'
import type { Descriptor, Digest } from '../oci/index.ts'

/*
 * A name mostly stands for one image, and then these tables say nothing of it. It has a root where it stands for more,
 * or for something else: an index that is kept with several images, or an artifact. Names here are whole
 * references, with a tag or with a digest.
 */
export const ROOTS_SCHEMA = `
  CREATE TABLE roots (
    digest TEXT PRIMARY KEY,
    descriptor TEXT NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE root_names (
    name TEXT PRIMARY KEY,
    root TEXT NOT NULL REFERENCES roots(digest) ON DELETE CASCADE
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX root_names_by_root ON root_names(root);
  -- The images of an index that are here.
  CREATE TABLE root_images (
    root TEXT NOT NULL REFERENCES roots(digest) ON DELETE CASCADE,
    manifest TEXT NOT NULL REFERENCES images(manifest) ON DELETE CASCADE,
    PRIMARY KEY (root, manifest)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX root_images_by_manifest ON root_images(manifest);
  -- What says something about a manifest: signatures, lists of parts, attestations.
  CREATE TABLE referrers (
    subject TEXT NOT NULL,
    digest TEXT NOT NULL,
    descriptor TEXT NOT NULL,
    tag TEXT NOT NULL,
    PRIMARY KEY (subject, digest)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX referrers_by_digest ON referrers(digest);`

/** Names of what a cache of another registry has, which fetches it again. */
export const CACHED_NAMES_SCHEMA = 'ALTER TABLE root_names ADD COLUMN is_cached INTEGER NOT NULL DEFAULT 0'

/** What a name stands for: an index, an artifact, or what a cache has. */
export interface KeptRoot {
  /** Canonical, with a tag or a digest: `docker.io/library/debian:12`. */
  readonly name: string
  readonly root: Descriptor
  /** Whether a cache has it, which would fetch it again. */
  readonly isCached: boolean
}

/** A manifest that says something about another one. image-spec manifest.md, `subject` */
export interface Referrer {
  /** With `artifactType` and the manifest's annotations, as a registry's list of referrers has it. */
  readonly descriptor: Descriptor
  /** Where it is found by tag and not as a referrer: signatures of cosign, `sha256-….sig`. */
  readonly tag?: string
}

/** The tables of roots and referrers. */
export class Roots {
  readonly #metadata: Metadata

  constructor(metadata: Metadata) {
    this.#metadata = metadata
  }

  of(name: string): Descriptor | undefined {
    const row = this.#metadata.get<{ descriptor: string }>(
      'SELECT descriptor FROM root_names JOIN roots ON roots.digest = root WHERE name = ?',
      name,
    )
    return row === undefined ? undefined : (JSON.parse(row.descriptor) as Descriptor)
  }

  /** All names that have a root, in order. */
  list(): readonly KeptRoot[] {
    return this.#metadata
      .all<{ name: string; descriptor: string; is_cached: number }>(
        'SELECT name, descriptor, is_cached FROM root_names JOIN roots ON roots.digest = root ORDER BY name',
      )
      .map(({ name, descriptor, is_cached }) => ({ name, root: JSON.parse(descriptor) as Descriptor, isCached: is_cached === 1 }))
  }

  set({ name, root, isCached }: KeptRoot, images: readonly Digest[]): void {
    this.#metadata.run('INSERT OR IGNORE INTO roots (digest, descriptor) VALUES (?, ?)', root.digest, JSON.stringify(root))
    this.#metadata.run(
      `INSERT INTO root_names (name, root, is_cached) VALUES (?, ?, ?)
         ON CONFLICT (name) DO UPDATE SET root = excluded.root, is_cached = excluded.is_cached`,
      name,
      root.digest,
      isCached ? 1 : 0,
    )
    for (const manifest of images)
      this.#metadata.run('INSERT OR IGNORE INTO root_images (root, manifest) VALUES (?, ?)', root.digest, manifest)
  }

  /** Returns whether the name had a root. */
  removeName(name: string): boolean {
    return this.#metadata.run('DELETE FROM root_names WHERE name = ?', name) > 0
  }

  /** The manifests of images that are here as parts of an index. */
  imagesOf(root: Digest): readonly Digest[] {
    return this.#metadata
      .all<{ manifest: string }>('SELECT manifest FROM root_images WHERE root = ? ORDER BY manifest', root)
      .map(({ manifest }) => manifest as Digest)
  }

  /**
   * Forgets the roots that no name stands for any more.
   *
   * Returns the manifests of images that were here as nothing but parts of them.
   */
  dropUnnamed(): readonly Digest[] {
    const unnamed = 'SELECT digest FROM roots WHERE digest NOT IN (SELECT root FROM root_names)'
    const alone = this.#metadata.all<{ manifest: string }>(
      `SELECT DISTINCT manifest FROM root_images WHERE root IN (${unnamed})
         AND manifest NOT IN (SELECT manifest FROM root_images WHERE root NOT IN (${unnamed}))
         AND manifest NOT IN (SELECT manifest FROM image_names)
         AND manifest NOT IN (SELECT manifest FROM image_digests)`,
    )
    this.#metadata.run(`DELETE FROM roots WHERE digest IN (${unnamed})`)
    return alone.map(({ manifest }) => manifest as Digest)
  }

  addReferrer(subject: Digest, { descriptor, tag }: Referrer, repository: string): void {
    this.#metadata.run(
      'INSERT OR REPLACE INTO referrers (subject, digest, repository, descriptor, tag) VALUES (?, ?, ?, ?, ?)',
      subject,
      descriptor.digest,
      repository,
      JSON.stringify(descriptor),
      tag ?? '',
    )
  }

  removeReferrer(subject: Digest, referrer: Digest, repository: string): void {
    this.#metadata.run('DELETE FROM referrers WHERE subject = ? AND digest = ? AND repository = ?', subject, referrer, repository)
  }

  /** Each once, in the order of their digests. */
  referrersOf(subject: Digest, repositories?: readonly string[]): readonly Referrer[] {
    const rows = this.#metadata
      .all<{ digest: string; repository: string; descriptor: string; tag: string }>(
        'SELECT digest, repository, descriptor, tag FROM referrers WHERE subject = ? ORDER BY digest, repository',
        subject,
      )
      .filter(({ repository }) => repositories?.includes(repository) ?? true)
    return [...new Map(rows.map(row => [row.digest, row])).values()].map(({ descriptor, tag }) => ({
      descriptor: JSON.parse(descriptor) as Descriptor,
      ...(tag === '' ? {} : { tag }),
    }))
  }

  /** Forgets what is said about a manifest, and what it says. */
  forgetReferrers(manifest: Digest): void {
    this.#metadata.run('DELETE FROM referrers WHERE subject = ? OR digest = ?', manifest, manifest)
  }
}
