import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { StrataError, streamOf } from '../../src/base/index.ts'
import { type DiskContentStore, openContent } from '../../src/content/index.ts'
import { collect, Leases, type Metadata, openMetadata, openRootDirectory, Trash } from '../../src/metadata/index.ts'
import { type Descriptor, type Digest, digestOf, MEDIA_TYPES } from '../../src/oci/index.ts'

/** Blobs are few, so that processes get in each other's way all the time. */
const VARIANTS = 6

/** A store with names on top, as the image store has them: name → digest of a manifest. */
export interface NamedStore {
  readonly metadata: Metadata
  readonly leases: Leases
  readonly content: DiskContentStore
  names(): readonly { readonly name: string; readonly digest: Digest }[]
  collect(): Promise<void>
}

export function openNamedStore(root: string): NamedStore {
  const metadata = openMetadata(openRootDirectory(root))
  metadata.migrate('test names', ['CREATE TABLE names (name TEXT PRIMARY KEY, digest TEXT NOT NULL) STRICT, WITHOUT ROWID'])
  const leases = new Leases(metadata)
  const content = openContent({ root, metadata })
  const names = (): { name: string; digest: Digest }[] => metadata.all('SELECT name, digest FROM names')
  return {
    metadata,
    leases,
    content,
    names,
    async collect() {
      await collect({
        metadata,
        leases,
        kinds: content.collectables(),
        roots: () => names().map(({ digest }) => ({ kind: 'blob', id: digest })),
      })
      await new Trash(root).empty()
    },
  }
}

interface Image {
  readonly manifest: Descriptor
  readonly blobs: readonly { readonly target: Descriptor; readonly bytes: Buffer }[]
}

function image(variant: number): Image {
  const describe = (mediaType: string, bytes: Buffer) => ({ target: { mediaType, digest: digestOf(bytes), size: bytes.length }, bytes })
  const layer = describe(MEDIA_TYPES.layer, Buffer.alloc(50_000, variant % 3))
  const config = describe(MEDIA_TYPES.config, Buffer.from(JSON.stringify({ variant })))
  const manifest = describe(
    MEDIA_TYPES.manifest,
    Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: MEDIA_TYPES.manifest, config: config.target, layers: [layer.target] })),
  )
  return { manifest: manifest.target, blobs: [layer, config, manifest] }
}

/** Stores an image as a pull does and names it; what it says with a line is a promise. */
async function nameImage(store: NamedStore, name: string, variant: number): Promise<void> {
  const { manifest, blobs } = image(variant)
  await using lease = store.leases.create()
  lease.add({ kind: 'blob', id: manifest.digest })
  for (const { target, bytes } of blobs) {
    lease.add({ kind: 'blob', id: target.digest })
    if (!(await store.content.has(target))) await store.content.put(target, streamOf(bytes), { lease })
  }
  for (const { target } of blobs) {
    if (!(await store.content.has(target)))
      throw new StrataError('dataLoss', 'STRATA_TEST_LOST', `Cannot find leased blob "${target.digest}"`)
  }
  store.metadata.transaction(() => {
    store.metadata.run('INSERT OR REPLACE INTO names (name, digest) VALUES (?, ?)', name, manifest.digest)
  })
  process.stdout.write(`+ ${name} ${manifest.digest}\n`)
}

async function main([role = '', root = '', id = '', seconds = '']: readonly string[]): Promise<void> {
  const store = openNamedStore(root)
  const until = performance.now() + Number(seconds) * 1000
  let turns = 0
  for (; performance.now() < until; turns += 1) {
    if (role === 'collector') {
      await store.collect()
      // SQLite's lock is not fair: a loop without a pause keeps everybody else out.
      await sleep(5)
      continue
    }
    const name = `${id}/${turns % 4}`
    await nameImage(store, name, Math.floor(Math.random() * VARIANTS))
    if (Math.random() < 0.6) {
      // The promise is taken back before the name goes.
      process.stdout.write(`- ${name}\n`)
      store.metadata.run('DELETE FROM names WHERE name = ?', name)
    }
  }
  process.stdout.write(`= ${turns}\n`)
  store.metadata.close()
}

if (import.meta.main) await main(process.argv.slice(2))
export const PROCESS: string = join(import.meta.dirname, 'collectionProcess.ts')
