import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { existsSync, lstatSync, mkdtempSync, readdirSync, readlinkSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { readAtMost, streamOf } from '../base/index.ts'
import { collect, type Lease, Leases, type Metadata, openMetadata, openRootDirectory, type Resource } from '../metadata/index.ts'
import { blobPath, type Descriptor, digestOf, MEDIA_TYPES } from '../oci/index.ts'
import { type DiskContentStore, openContent } from './index.ts'

const scratch = mkdtempSync(join(tmpdir(), 'strata-batch-'))
after(() => rmSync(scratch, { recursive: true, force: true }))

interface Opened extends Disposable {
  readonly root: string
  readonly metadata: Metadata
  readonly content: DiskContentStore
  lease(): Lease
  ingests(): readonly string[]
  collect(options?: { readonly interrupted: boolean }): Promise<readonly Resource[]>
}

let roots = 0
function openNew(): Opened {
  const root = join(scratch, String((roots += 1)))
  const metadata = openMetadata(openRootDirectory(root))
  const content = openContent({ root, metadata })
  const leases = new Leases(metadata)
  return {
    root,
    metadata,
    content,
    lease: () => leases.create(),
    ingests: () => readdirSync(join(root, 'ingest')),
    collect: options => collect({ metadata, leases, kinds: content.collectables(options), roots: () => [] }),
    [Symbol.dispose]: () => metadata.close(),
  }
}

interface Blob {
  readonly target: Descriptor
  readonly bytes: Buffer
}

function blob(content: string | Buffer, mediaType = 'application/octet-stream'): Blob {
  const bytes = Buffer.from(content)
  return { target: { mediaType, digest: digestOf(bytes), size: bytes.length }, bytes }
}

const ONE = blob('one')
const TWO = blob('two')

async function assertKept({ content, root }: Opened, { target, bytes }: Blob): Promise<void> {
  assert.equal((await content.stat(target.digest))?.state, 'kept')
  assert.ok((await readAtMost(await content.open(target), target.size)).equals(bytes))
  assert.ok(existsSync(join(root, blobPath(target.digest))))
}

test('batch() stores its blobs by commit() and not before, and a manifest among them names the others', async () => {
  using opened = openNew()
  const { content } = opened
  await using batch = content.batch()
  const manifest = blob(
    JSON.stringify({ schemaVersion: 2, mediaType: MEDIA_TYPES.manifest, config: ONE.target, layers: [TWO.target] }),
    MEDIA_TYPES.manifest,
  )
  for (const { target, bytes } of [manifest, ONE, TWO]) await batch.add(target, bytes)
  assert.equal(await content.stat(ONE.target.digest), undefined)
  assert.ok((await readAtMost(batch.find(ONE.target.digest)!, 3)).equals(ONE.bytes))
  await batch.commit()
  for (const each of [manifest, ONE, TWO]) await assertKept(opened, each)
  assert.deepEqual(content.children(manifest.target.digest), [ONE.target.digest, TWO.target.digest].toSorted())
  assert.equal(batch.find(ONE.target.digest), undefined)
  assert.deepEqual(opened.ingests(), [])
})

test('batch() refuses bytes that are not what their descriptor says, and keeps the others', async () => {
  using opened = openNew()
  await using batch = opened.content.batch()
  await batch.add(ONE.target, ONE.bytes)
  await assert.rejects(batch.add(TWO.target, ONE.bytes), { kind: 'dataLoss', code: 'STRATA_DIGEST_MISMATCH' })
  await assert.rejects(batch.add(TWO.target, Buffer.from('twoo')), { kind: 'dataLoss', code: 'STRATA_SIZE_MISMATCH' })
  await batch.commit()
  await assertKept(opened, ONE)
  assert.equal(await opened.content.stat(TWO.target.digest), undefined)
})

test('batch() leaves what is given up to the next one, and no collection takes what waits in it', async () => {
  using opened = openNew()
  {
    await using batch = opened.content.batch()
    await batch.add(ONE.target, ONE.bytes)
    await opened.collect({ interrupted: true })
    assert.ok((await readAtMost(batch.find(ONE.target.digest)!, 3)).equals(ONE.bytes))
  }
  assert.equal(await opened.content.stat(ONE.target.digest), undefined)
  {
    await using batch = opened.content.batch()
    assert.ok(ONE.bytes.equals(await batch.obtain(ONE.target, mustNotFetch)))
    await batch.commit()
    await assertKept(opened, ONE)
  }
  {
    await using batch = opened.content.batch()
    await batch.add(TWO.target, TWO.bytes)
  }
  await opened.collect({ interrupted: true })
  assert.deepEqual(opened.ingests(), [])
})

const mustNotFetch = async (): Promise<Buffer> => assert.fail('it is here')

test('obtain() has no file of a blob that is not what it should be, or did not come', async () => {
  using opened = openNew()
  await using batch = opened.content.batch()
  await assert.rejects(
    batch.obtain(ONE.target, async () => TWO.bytes),
    { code: 'STRATA_DIGEST_MISMATCH' },
  )
  await assert.rejects(
    batch.obtain(ONE.target, async () => {
      throw new Error('no network')
    }),
    /no network/,
  )
  assert.deepEqual(opened.ingests(), [])
})

test('obtain() fetches what a killed process has left in part, and what somebody has damaged', async () => {
  using opened = openNew()
  {
    await using batch = opened.content.batch()
    for (const { target, bytes } of [ONE, TWO]) await batch.add(target, bytes)
  }
  const [one = '', two = ''] = [ONE, TWO].map(({ target }) => join(opened.root, 'ingest', `small-${target.digest.replace(':', '-')}`))
  writeFileSync(one, 'o')
  writeFileSync(two, 'tvo')
  await using batch = opened.content.batch()
  for (const { target, bytes } of [ONE, TWO]) await batch.obtain(target, async () => bytes)
  await batch.commit()
  for (const each of [ONE, TWO]) await assertKept(opened, each)
})

test('obtain() fetches once what several batches want at the same time, and each stores it', async () => {
  using opened = openNew()
  const blobs = Array.from({ length: 20 }, (_, n) => blob(`number ${n}`))
  let fetched = 0
  const work = async (wanted: readonly Blob[], commits: boolean): Promise<void> => {
    await using batch = opened.content.batch()
    for (const { target, bytes } of wanted) {
      const got = await batch.obtain(target, async () => {
        fetched += 1
        await sleep(5)
        return bytes
      })
      assert.ok(bytes.equals(got))
    }
    if (commits) await batch.commit()
  }
  // In opposite orders, and one of them gives up.
  await Promise.all([work(blobs, true), work(blobs.toReversed(), true), work(blobs, false), work(blobs.toReversed(), true)])
  assert.equal(fetched, blobs.length)
  for (const each of blobs) await assertKept(opened, each)
  assert.deepEqual(opened.ingests(), [])
})

test('obtain() of one blob twice at the same time fetches it once, and keeps no file open', async () => {
  using opened = openNew()
  let fetched = 0
  {
    await using batch = opened.content.batch()
    const fetch = async (): Promise<Buffer> => {
      fetched += 1
      await sleep(20)
      return ONE.bytes
    }
    await Promise.all([batch.obtain(ONE.target, fetch), batch.obtain(ONE.target, fetch)])
    await batch.commit()
  }
  await assertKept(opened, ONE)
  assert.equal(fetched, 1)
  const open = readdirSync('/proc/self/fd').flatMap(fd => {
    try {
      return [readlinkSync(join('/proc/self/fd', fd))]
    } catch {
      // The directory's own.
      return []
    }
  })
  assert.deepEqual(
    open.filter(path => path.includes(scratch) && !path.includes('meta.db')),
    [],
  )
})

test('batch() holds its blobs for a lease, those too that are here already, whose files stay', async () => {
  using opened = openNew()
  const { content } = opened
  await content.put(ONE.target, streamOf(ONE.bytes))
  const file = lstatSync(join(opened.root, blobPath(ONE.target.digest))).ino
  await using lease = opened.lease()
  await using batch = content.batch({ lease })
  for (const { target, bytes } of [ONE, TWO]) await batch.add(target, bytes)
  await batch.commit()
  await opened.collect()
  for (const each of [ONE, TWO]) await assertKept(opened, each)
  assert.equal(lstatSync(join(opened.root, blobPath(ONE.target.digest))).ino, file)
})

test('hostile #68: commit() of a batch whose records cannot be written leaves no file either', async () => {
  using opened = openNew()
  opened.metadata.run("CREATE TRIGGER refuse BEFORE INSERT ON blobs BEGIN SELECT RAISE (ABORT, 'refused'); END")
  await using batch = opened.content.batch()
  await batch.add(ONE.target, ONE.bytes)
  await assert.rejects(batch.commit(), /refused/)
  assert.deepEqual([opened.ingests(), existsSync(join(opened.root, blobPath(ONE.target.digest)))], [[], false])
  assert.equal(await opened.content.stat(ONE.target.digest), undefined)
})

test('batch() stores what waits as soon as it is much', async () => {
  using opened = openNew()
  await using batch = opened.content.batch()
  const large = Array.from({ length: 3 }, () => blob(randomBytes(4 * 1024 * 1024)))
  for (const { target, bytes } of large) await batch.add(target, bytes)
  for (const each of large.slice(0, 2)) await assertKept(opened, each)
  assert.equal(await opened.content.stat(large[2]!.target.digest), undefined)
})
