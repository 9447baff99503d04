import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test, type TestContext } from 'node:test'
import { type ByteStream, readAtMost, streamOf } from '../base/index.ts'
import type { ContentStore } from '../content/index.ts'
import { type Descriptor, digestOf, MEDIA_TYPES } from '../oci/index.ts'
import { type ContentStoreModule, startProcess, testBytes } from './contentStoreProcess.ts'

/** A content store and what of the suite it cannot do. */
export interface ContentStoreUnderTest {
  readonly name: string
  /** The URL of a module that exports a ContentStoreModule; other processes import it too. */
  readonly module: URL
  /** Titles of cases, each with the reason why it is skipped. */
  readonly skip?: Readonly<Record<string, string>>
}

interface Subject extends ContentStoreModule {
  readonly module: URL
  readonly root: string
  readonly store: ContentStore
}

type Case = (subject: Subject, t: TestContext) => Promise<void>

const MEBIBYTE = 1024 * 1024
const DATA = 'application/octet-stream'

/** Runs the conformance suite of ContentStore. */
export function testContentStore(subject: ContentStoreUnderTest): void {
  const skip = subject.skip ?? {}
  for (const title of Object.keys(skip)) if (!(title in CASES)) throw new Error(`Cannot skip "${title}": no such case`)
  describe(`ContentStore: ${subject.name}`, () => {
    for (const [title, run] of Object.entries(CASES)) {
      test(title, { skip: skip[title] ?? false }, async t => {
        const root = await mkdtemp(join(tmpdir(), 'strata-content-suite-'))
        try {
          const module = (await import(subject.module.href)) as ContentStoreModule
          await using store = await module.openStore(root)
          await run({ openStore: module.openStore, damageBlob: module.damageBlob, module: subject.module, root, store }, t)
        } finally {
          await rm(root, { recursive: true, force: true })
        }
      })
    }
  })
}

function blob(fill: number, size: number, mediaType: string = DATA): { target: Descriptor; bytes: Buffer; fill: number } {
  const bytes = testBytes(fill, size)
  return { target: { mediaType, digest: digestOf(bytes), size }, bytes, fill }
}

async function* inChunks(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array, void> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size)
}

async function* failing(bytes: Uint8Array): AsyncGenerator<Uint8Array, void> {
  yield bytes
  throw new Error('the connection broke')
}

async function bytesOf(store: ContentStore, target: Descriptor, start = 0): Promise<Buffer> {
  return readAtMost(await store.open(target, { start }), target.size)
}

async function digestsOf(store: ContentStore): Promise<readonly string[]> {
  const digests: string[] = []
  for await (const { digest } of store.list()) digests.push(digest)
  return digests
}

/** Nothing of the blob can be seen, and putting it right works. */
async function assertAbsent(store: ContentStore, target: Descriptor): Promise<void> {
  assert.equal(await store.has(target), false)
  assert.equal(await store.stat(target.digest), undefined)
  assert.deepEqual(await digestsOf(store), [])
  await assert.rejects(store.open(target), { kind: 'notFound' })
}

const CASES: Readonly<Record<string, Case>> = {
  async 'put() stores what open(), has(), stat() and list() then find'({ store }) {
    const { target, bytes } = blob(1, 3 * MEBIBYTE + 17)
    await assertAbsent(store, target)
    const before = Date.now()
    await store.put(target, inChunks(bytes, 100_001))
    assert.equal(await store.has(target), true)
    await assert.rejects(store.has({ ...target, size: target.size + 1 }), { code: 'STRATA_SIZE_MISMATCH' })
    assert.deepEqual(await bytesOf(store, target), bytes)
    assert.deepEqual(await digestsOf(store), [target.digest])
    const { createdAt, ...facts } = (await store.stat(target.digest))!
    assert.deepEqual(facts, { digest: target.digest, size: target.size, mediaType: DATA, state: 'kept' })
    assert.ok(createdAt.getTime() >= before && createdAt.getTime() <= Date.now())
  },

  async 'put() stores the empty blob, a blob of one byte, and many small chunks'({ store }) {
    for (const size of [0, 1, 70_000]) {
      const { target, bytes } = blob(2, size)
      await store.put(target, inChunks(bytes, 7))
      assert.deepEqual(await bytesOf(store, target), bytes)
    }
  },

  async 'put() stores a blob under a sha512 digest'({ store }) {
    const bytes = testBytes(3, 1000)
    const target = { mediaType: DATA, digest: digestOf(bytes, 'sha512'), size: bytes.length }
    await store.put(target, streamOf(bytes))
    assert.deepEqual(await bytesOf(store, target), bytes)
    await assert.rejects(store.put({ ...target, digest: digestOf(Buffer.of(1), 'sha512') }, streamOf(bytes)), {
      code: 'STRATA_DIGEST_MISMATCH',
    })
  },

  async 'put() of a stored blob succeeds without its bytes'({ store }) {
    const { target, bytes } = blob(4, 1000)
    await store.put(target, streamOf(bytes))
    await store.put(target, streamOf(bytes))
    await store.put(target, streamOf(Buffer.from('not these')))
    assert.deepEqual(await bytesOf(store, target), bytes)
    assert.equal((await digestsOf(store)).length, 1)
  },

  async 'hostile #52: put() keeps nothing of bytes that are wrong, too few or too many'({ store }) {
    const { target, bytes } = blob(5, 300_000)
    const wrong = Buffer.from(bytes)
    wrong[299_999]! ^= 1
    await assert.rejects(store.put(target, inChunks(wrong, 65_536)), { kind: 'dataLoss', code: 'STRATA_DIGEST_MISMATCH' })
    await assert.rejects(store.put(target, streamOf(bytes.subarray(1))), { kind: 'dataLoss', code: 'STRATA_SIZE_MISMATCH' })
    await assert.rejects(store.put(target, streamOf()), { code: 'STRATA_SIZE_MISMATCH' })
    await assert.rejects(store.put(target, streamOf(bytes, Buffer.of(0))), { code: 'STRATA_SIZE_MISMATCH' })
    await assertAbsent(store, target)
    await store.put(target, streamOf(bytes))
    assert.deepEqual(await bytesOf(store, target), bytes)
  },

  async 'hostile #52: put() stops reading a stream that does not end'({ store }) {
    const { target } = blob(6, 1000)
    let chunks = 0
    async function* endless(): AsyncGenerator<Uint8Array> {
      for (;;) {
        chunks += 1
        yield Buffer.alloc(600)
      }
    }
    await assert.rejects(store.put(target, endless()), { code: 'STRATA_SIZE_MISMATCH' })
    assert.ok(chunks < 5)
  },

  async 'put() keeps nothing when its source fails or its signal fires, and passes the reason on'({ store }) {
    const { target, bytes } = blob(7, 300_000)
    await assert.rejects(store.put(target, failing(bytes.subarray(0, 200_000))), { message: 'the connection broke' })
    const stop = new AbortController()
    async function* stopping(): ByteStream & AsyncGenerator<Uint8Array> {
      yield bytes.subarray(0, 100)
      stop.abort()
      yield bytes.subarray(100)
    }
    await assert.rejects(store.put(target, stopping(), { signal: stop.signal }), { name: 'AbortError' })
    await assertAbsent(store, target)
  },

  async 'put() refuses a manifest that is none, and stores one'({ store }) {
    const config = blob(8, 10)
    const layer = blob(9, 10)
    const manifest = Buffer.from(
      JSON.stringify({
        schemaVersion: 2,
        mediaType: MEDIA_TYPES.manifest,
        config: { ...config.target, mediaType: MEDIA_TYPES.config },
        layers: [{ ...layer.target, mediaType: MEDIA_TYPES.layer }],
      }),
    )
    const target = { mediaType: MEDIA_TYPES.manifest, digest: digestOf(manifest), size: manifest.length }
    await store.put(target, streamOf(manifest))
    assert.deepEqual(await bytesOf(store, target), manifest)
    const { target: noManifest, bytes } = blob(10, 100, MEDIA_TYPES.manifest)
    await assert.rejects(store.put(noManifest, streamOf(bytes)), { kind: 'invalidArgument', code: 'STRATA_MANIFEST_INVALID' })
    assert.equal(await store.has(noManifest), false)
  },

  async 'open() gives the bytes from a start on, and refuses a start past the end'({ store }) {
    const { target, bytes } = blob(11, 600_000)
    await store.put(target, streamOf(bytes))
    for (const start of [0, 1, 262_144, 599_999, 600_000]) {
      assert.deepEqual(await bytesOf(store, target, start), bytes.subarray(start), String(start))
    }
    for (const start of [-1, 600_001, 0.5]) await assert.rejects(store.open(target, { start }), { kind: 'invalidArgument' })
  },

  async 'open() refuses a descriptor with another size'({ store }) {
    const { target, bytes } = blob(12, 1000)
    await store.put(target, streamOf(bytes))
    await assert.rejects(store.open({ ...target, size: 999 }), { code: 'STRATA_SIZE_MISMATCH' })
  },

  async 'hostile #72: open() never gives out the end of a damaged blob, and the next put() heals it'({ store, damageBlob, root }) {
    const { target, bytes } = blob(13, 1_000_000)
    await store.put(target, streamOf(bytes))
    await damageBlob(root, target)
    let size = 0
    const read = async (): Promise<void> => {
      for await (const chunk of await store.open(target)) size += chunk.length
    }
    await assert.rejects(read(), { kind: 'dataLoss' })
    assert.ok(size < target.size)
    assert.equal(await store.has(target), false)
    await store.put(target, streamOf(bytes))
    assert.deepEqual(await bytesOf(store, target), bytes)
  },

  async 'delete() forgets a blob, and resolves when there is none'({ store }) {
    const { target, bytes } = blob(14, 1000)
    await store.put(target, streamOf(bytes))
    await store.delete(target.digest)
    await store.delete(target.digest)
    await assertAbsent(store, target)
    await store.put(target, streamOf(bytes))
    assert.deepEqual(await bytesOf(store, target), bytes)
  },

  async 'ingest() shows nothing before commit() and the blob after it'({ store }) {
    const { target, bytes } = blob(15, 500_000)
    await using ingest = await store.ingest('key')
    assert.equal(ingest.size, 0)
    await ingest.write(inChunks(bytes, 1000))
    assert.equal(ingest.size, bytes.length)
    await assertAbsent(store, target)
    const { digest, size, state } = await ingest.commit({ mediaType: DATA })
    assert.deepEqual({ digest, size, state }, { digest: target.digest, size: target.size, state: 'kept' })
    assert.deepEqual(await bytesOf(store, target), bytes)
  },

  async 'write() does not use a chunk any more when it asks for the next one'({ store }) {
    const { target, bytes } = blob(32, 1_000_000)
    async function* reusing(): AsyncGenerator<Uint8Array, void> {
      for (let at = 0, size = 1; at < bytes.length; at += size, size = size * 3 + 1) {
        const chunk = Buffer.from(bytes.subarray(at, at + size))
        yield chunk
        chunk.fill(0xff)
      }
    }
    await using ingest = await store.ingest('key', { target })
    await ingest.write(reusing())
    await ingest.commit(target)
    assert.deepEqual(await bytesOf(store, target), bytes)
  },

  async 'ingest() goes on where a disposed one stopped, also in a store that is opened again'({ store, openStore, root }) {
    const { target, bytes } = blob(16, 500_001)
    {
      await using ingest = await store.ingest('a/../key', { target })
      await assert.rejects(ingest.write(failing(bytes.subarray(0, 300_003))), { message: 'the connection broke' })
    }
    await using again = await openStore(root)
    await using ingest = await again.ingest('a/../key', { target })
    assert.equal(ingest.size, 300_003)
    await ingest.write(streamOf(bytes.subarray(300_003)))
    await ingest.commit(target)
    assert.deepEqual(await bytesOf(store, target), bytes)
  },

  async 'ingest() of a writer who has all bytes begins empty, whatever an interrupted one has left'({ store }) {
    for (const [seed, left] of [4_001, 1_001, 0].entries()) {
      const { target, bytes } = blob(200 + seed, 4_001)
      {
        await using ingest = await store.ingest('key', { target })
        // As much of it, and of what a lost power has made of it.
        await ingest.write(streamOf(Buffer.concat([bytes.subarray(0, left), Buffer.alloc(2_000)]).subarray(0, 4_001)))
      }
      await using ingest = await store.ingest('key', { target, isAnew: true })
      assert.equal(ingest.size, 0)
      await ingest.write(streamOf(bytes))
      await ingest.commit(target)
      assert.deepEqual(await bytesOf(store, target), bytes)
    }
  },

  async 'ingest() of different keys are different'({ store }) {
    await using first = await store.ingest('first')
    await using second = await store.ingest('second')
    await first.write(streamOf(Buffer.from('one')))
    assert.equal(second.size, 0)
  },

  async 'hostile #52: commit() keeps nothing of bytes that are not those expected'({ store }) {
    const { target, bytes } = blob(17, 1000)
    const expectations = [
      { expected: { ...target, digest: digestOf(Buffer.of(1)) }, code: 'STRATA_DIGEST_MISMATCH' },
      { expected: { ...target, size: 999 }, code: 'STRATA_SIZE_MISMATCH' },
      { expected: { mediaType: DATA, size: 999 }, code: 'STRATA_SIZE_MISMATCH' },
      { expected: { ...target, digest: digestOf(bytes.subarray(1), 'sha512') }, code: 'STRATA_DIGEST_MISMATCH' },
    ]
    for (const { expected, code } of expectations) {
      {
        await using ingest = await store.ingest('key')
        await ingest.write(streamOf(bytes))
        await assert.rejects(ingest.commit(expected), { kind: 'dataLoss', code })
      }
      await using again = await store.ingest('key')
      assert.equal(again.size, 0)
      await again.discard()
    }
    await assertAbsent(store, target)
  },

  async 'ingest() of a target never takes more bytes than it has'({ store }) {
    const { target, bytes } = blob(18, 1000)
    {
      await using ingest = await store.ingest('key', { target })
      await assert.rejects(ingest.write(streamOf(bytes, Buffer.of(0))), { code: 'STRATA_SIZE_MISMATCH' })
    }
    await using again = await store.ingest('key', { target })
    assert.equal(again.size, 0)
  },

  async 'discard() forgets what was written'({ store }) {
    {
      await using ingest = await store.ingest('key')
      await ingest.write(streamOf(Buffer.from('no')))
      await ingest.discard()
    }
    await using again = await store.ingest('key')
    assert.equal(again.size, 0)
  },

  async 'ingest() waits for an open one with its key, and then sees what it stored'({ store }) {
    const { target, bytes } = blob(19, 1000)
    const first = await store.ingest('key', { target })
    const second = store.ingest('key', { target })
    const other = store.ingest('key', { target, signal: AbortSignal.timeout(30) })
    await assert.rejects(other, { name: 'TimeoutError' })
    await first.write(streamOf(bytes))
    await first.commit(target)
    await using stored = await second
    assert.equal(stored.stored?.digest, target.digest)
    assert.equal((await stored.commit(target)).digest, target.digest)
    await assert.rejects(stored.write(streamOf(bytes)), { kind: 'conflict' })
  },

  async 'hostile #70: put() of the same blobs in four processes succeeds in all of them'({ store, module, root }) {
    const blobs = Array.from({ length: 8 }, (_, fill) => blob(20 + fill, 200_000))
    const job = { action: 'put', blobs: blobs.map(({ target, fill }) => ({ target, fill })) } as const
    await Promise.all(Array.from({ length: 4 }, () => startProcess(module, root, job).ended()))
    for (const { target, bytes } of blobs) assert.deepEqual(await bytesOf(store, target), bytes)
    assert.equal((await digestsOf(store)).length, blobs.length)
  },

  async 'hostile #70: ingest() with one key in two processes writes once, and both see the blob'({ store, module, root }) {
    const { target, fill, bytes } = blob(30, 200_000)
    const first = startProcess(module, root, { action: 'ingest', target, fill, bytes: target.size, holdMs: 300 })
    assert.equal(await first.nextLine(), `written ${target.size}\n`)
    const second = startProcess(module, root, { action: 'ingest', target, fill, bytes: target.size, holdMs: 0 })
    assert.equal(await second.nextLine(), 'stored\n')
    await Promise.all([first.ended(), second.ended()])
    assert.deepEqual(await bytesOf(store, target), bytes)
  },

  async 'hostile #68: ingest() goes on where a process was killed'({ store, module, root }) {
    const { target, fill, bytes } = blob(31, 900_000)
    const killed = startProcess(module, root, { action: 'ingest', target, fill, bytes: 600_000, holdMs: 60_000 })
    assert.equal(await killed.nextLine(), 'written 600000\n')
    killed.process.kill('SIGKILL')
    await assert.rejects(killed.ended())
    await assertAbsent(store, target)
    await using ingest = await store.ingest(target.digest, { target })
    assert.equal(ingest.size, 600_000)
    await ingest.write(streamOf(bytes.subarray(ingest.size)))
    await ingest.commit(target)
    assert.deepEqual(await bytesOf(store, target), bytes)
  },
}
