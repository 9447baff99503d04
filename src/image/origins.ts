import type { Metadata } from '../metadata/index.ts'
import type { Digest } from '../oci/index.ts'

/*
 * Which repositories gave something out, whatever names it has now. Names come and go, by a user's wish; this stays as long
 * as the image, index or artifact itself. What was made or loaded here has none, also when it was pushed somewhere.
 */
export const ORIGINS_SCHEMA = `
  CREATE TABLE origins (
    digest TEXT NOT NULL,
    repository TEXT NOT NULL,
    given TEXT NOT NULL,
    is_pushed INTEGER NOT NULL,
    PRIMARY KEY (digest, repository, given)
  ) STRICT, WITHOUT ROWID;
  INSERT INTO origins SELECT manifest, repository, digest, 0 FROM image_digests;
  -- One digest may be an image and a root.
  CREATE TRIGGER origins_of_images AFTER DELETE ON images WHEN NOT EXISTS (SELECT 1 FROM roots WHERE roots.digest = OLD.manifest)
    BEGIN DELETE FROM origins WHERE digest = OLD.manifest; END;
  CREATE TRIGGER origins_of_roots AFTER DELETE ON roots WHEN NOT EXISTS (SELECT 1 FROM images WHERE manifest = OLD.digest)
    BEGIN DELETE FROM origins WHERE digest = OLD.digest; END;
  -- Of what was said before nobody knows any more who said it; the next pull brings it again.
  DROP TABLE referrers;
  CREATE TABLE referrers (
    subject TEXT NOT NULL,
    digest TEXT NOT NULL,
    repository TEXT NOT NULL,
    descriptor TEXT NOT NULL,
    tag TEXT NOT NULL,
    PRIMARY KEY (subject, digest, repository)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX referrers_by_digest ON referrers(digest);`

/** Where something came from. */
export interface Origin {
  /** Canonical: `docker.io/library/debian`. */
  readonly repository: string
  /** Under which the repository gave it out: that of the index, where it was chosen from one. */
  readonly given: Digest
  /** Whether clients pushed it into this repository, which is served here; else it was pulled. */
  readonly isPushed: boolean
}

/** The table of origins. */
export class Origins {
  readonly #metadata: Metadata

  constructor(metadata: Metadata) {
    this.#metadata = metadata
  }

  /** What was pulled stays so when it is pushed, too. */
  add(digest: Digest, { repository, given, isPushed }: Origin): void {
    this.#metadata.run(
      `INSERT INTO origins (digest, repository, given, is_pushed) VALUES (?, ?, ?, ?)
       ON CONFLICT DO UPDATE SET is_pushed = min(is_pushed, excluded.is_pushed)`,
      digest,
      repository,
      given,
      isPushed ? 1 : 0,
    )
  }

  of(digest: Digest): readonly Origin[] {
    return this.#metadata
      .all<{ repository: string; given: string; is_pushed: number }>(
        'SELECT repository, given, is_pushed FROM origins WHERE digest = ? ORDER BY repository, given',
        digest,
      )
      .map(({ repository, given, is_pushed }) => ({ repository, given: given as Digest, isPushed: is_pushed === 1 }))
  }
}
