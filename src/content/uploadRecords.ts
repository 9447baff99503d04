import { isAlive, thisOwner } from '../base/index.ts'
import type { Metadata } from '../metadata/index.ts'
import type { Digest } from '../oci/index.ts'

/** Registries forget uploads after some days; who wants to go on does so within one. */
const FORGOTTEN_AFTER_MS = 24 * 60 * 60 * 1000

// A location may hold what lets anybody go on with the upload: the database is its owner's alone.
const MIGRATIONS = [
  `CREATE TABLE uploads (
     repository TEXT NOT NULL,
     digest TEXT NOT NULL,
     location TEXT NOT NULL,
     owner TEXT NOT NULL,           -- the process that uploads; '' when it has given up
     begun_at INTEGER NOT NULL,
     PRIMARY KEY (repository, digest)
   ) STRICT, WITHOUT ROWID;`,
]

/**
 * Where blobs are being uploaded to in one repository, so that a push goes on with what one that was killed has sent. One
 * process at a time has an upload. Power loss may take the last notes; then more is sent again.
 */
export class UploadRecords {
  readonly #metadata: Metadata
  readonly #repository: string

  /** @param repository `host/path` */
  constructor(metadata: Metadata, repository: string) {
    this.#metadata = metadata
    this.#repository = repository
    metadata.migrate('uploads', MIGRATIONS)
  }

  /** Where somebody who is gone was uploading the blob to; it is this process's upload now. */
  take(digest: Digest): URL | undefined {
    return this.#metadata.passingTransaction(() => {
      this.#metadata.run('DELETE FROM uploads WHERE begun_at < ?', Date.now() - FORGOTTEN_AFTER_MS)
      const row = this.#metadata.get<{ location: string; owner: string }>(
        'SELECT location, owner FROM uploads WHERE repository = ? AND digest = ?',
        this.#repository,
        digest,
      )
      if (row === undefined || (row.owner !== '' && isAlive(row.owner)) || !URL.canParse(row.location)) return undefined
      this.#own(digest, row.location)
      return new URL(row.location)
    })
  }

  /** This process uploads the blob to there, unless another one does so already and is remembered. */
  set(digest: Digest, location: URL): void {
    this.#metadata.passingTransaction(() => {
      const row = this.#metadata.get<{ owner: string }>(
        'SELECT owner FROM uploads WHERE repository = ? AND digest = ?',
        this.#repository,
        digest,
      )
      if (row === undefined || row.owner === '' || row.owner === thisOwner() || !isAlive(row.owner)) this.#own(digest, location.href)
    })
  }

  /** This process does not go on; another one may. */
  leave(digest: Digest): void {
    this.#mine("UPDATE uploads SET owner = '' WHERE repository = ? AND digest = ? AND owner = ?", digest)
  }

  /** The upload has come to its end. */
  forget(digest: Digest): void {
    this.#mine('DELETE FROM uploads WHERE repository = ? AND digest = ? AND owner = ?', digest)
  }

  #own(digest: Digest, location: string): void {
    this.#metadata.run(
      'INSERT OR REPLACE INTO uploads (repository, digest, location, owner, begun_at) VALUES (?, ?, ?, ?, ?)',
      this.#repository,
      digest,
      location,
      thisOwner(),
      Date.now(),
    )
  }

  #mine(sql: string, digest: Digest): void {
    this.#metadata.passingTransaction(() => this.#metadata.run(sql, this.#repository, digest, thisOwner()))
  }
}
