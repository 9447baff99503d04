import assert from 'node:assert/strict'
import { existsSync, lstatSync, mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, utimesSync, writeFileSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { readAtMost, streamOf } from '../base/index.ts'
import { collect, type Collectable, Leases, type Metadata, openMetadata, openRootDirectory, type Resource } from '../metadata/index.ts'
import {
  blobPath,
  type Descriptor,
  type DiffId,
  type Digest,
  digestOf,
  MEDIA_TYPES,
  parseDiffId,
  parseImageLayout,
  parseIndex,
} from '../oci/index.ts'
import { type BlobProblem, type DiskContentStore, openContent } from './index.ts'

const scratch = mkdtempSync(join(tmpdir(), 'strata-content-'))
after(() => rmSync(scratch, { recursive: true, force: true }))

interface Opened extends Disposable {
  readonly root: string
  readonly metadata: Metadata
  readonly content: DiskContentStore
  blobFile(target: Descriptor): string
  collect(roots: readonly Resource[]): Promise<readonly Resource[]>
}

let roots = 0
function openNew(): Opened {
  roots += 1
  const root = join(scratch, String(roots))
  const metadata = openMetadata(openRootDirectory(root))
  const content = openContent({ root, metadata })
  return {
    root,
    metadata,
    content,
    blobFile: target => join(root, blobPath(target.digest)),
    collect: named => collect({ metadata, leases: new Leases(metadata), kinds: content.collectables(), roots: () => named }),
    [Symbol.dispose]: () => metadata.close(),
  }
}

function blob(text: string, mediaType = 'application/octet-stream'): { target: Descriptor; bytes: Buffer } {
  const bytes = Buffer.from(text)
  return { target: { mediaType, digest: digestOf(bytes), size: bytes.length }, bytes }
}

/** A blob of a layer, and the layer's id: of an uncompressed one the same digest. */
function layer(text: string): { target: Descriptor; bytes: Buffer; diffId: DiffId } {
  const made = blob(text, MEDIA_TYPES.layer)
  return { ...made, diffId: parseDiffId(made.target.digest) }
}

function manifest(config: Descriptor, layers: readonly Descriptor[]): { target: Descriptor; bytes: Buffer } {
  return blob(JSON.stringify({ schemaVersion: 2, mediaType: MEDIA_TYPES.manifest, config, layers }), MEDIA_TYPES.manifest)
}

async function problemsOf(content: DiskContentStore): Promise<readonly BlobProblem[]> {
  const problems: BlobProblem[] = []
  for await (const problem of content.verify()) problems.push(problem)
  return problems
}

const read = async (content: DiskContentStore, target: Descriptor, start = 0): Promise<string> =>
  (await readAtMost(await content.open(target, { start }), target.size)).toString()

test('openContent() makes an OCI image layout, and takes one that is there', async () => {
  using opened = openNew()
  parseImageLayout(readFileSync(join(opened.root, 'oci-layout')))
  assert.deepEqual(parseIndex(readFileSync(join(opened.root, 'index.json'))).manifests, [])
  const { target, bytes } = blob('kept')
  await opened.content.put(target, streamOf(bytes))
  assert.equal(await read(openContent(opened), target), 'kept')
})

test('hostile #66: everything of the store is for its owner only', async () => {
  const umask = process.umask(0)
  try {
    using opened = openNew()
    const { target, bytes } = blob('secret')
    await opened.content.put(target, streamOf(bytes))
    await using ingest = await opened.content.ingest('open')
    await ingest.write(streamOf(bytes))
    await opened.content.delete(digestOf(Buffer.of()))
    opened.content.writeIndex([])
    const names = await readdir(opened.root, { recursive: true })
    assert.ok(names.length >= 9)
    for (const name of names) {
      const stats = lstatSync(join(opened.root, name))
      assert.equal(stats.mode & 0o777, stats.isDirectory() ? 0o700 : 0o600, name)
    }
  } finally {
    process.umask(umask)
  }
})

test('hostile #54: a digest that is none never becomes a path', async () => {
  using opened = openNew()
  const { content, root } = opened
  writeFileSync(join(root, 'victim'), 'stays')
  const bytes = Buffer.from('bytes')
  for (const text of ['sha256:../../victim', 'sha256:..', `SHA256:${'0'.repeat(64)}`, 'sha1:0000', `sha256:${'A'.repeat(64)}`, '']) {
    const target = { mediaType: 'text/plain', digest: text as Digest, size: bytes.length }
    await assert.rejects(content.delete(target.digest), { kind: 'invalidArgument', code: 'STRATA_DIGEST_INVALID' })
    await assert.rejects(content.put(target, streamOf(bytes)), { kind: 'dataLoss', code: 'STRATA_DIGEST_MISMATCH' })
    await assert.rejects(content.open(target), { kind: 'notFound' })
  }
  assert.equal(readFileSync(join(root, 'victim'), 'utf8'), 'stays')
  assert.deepEqual(readdirSync(join(root, 'ingest')), [])
})

test('hostile #69: a file that a power loss left empty is no blob, and the next put() replaces it', async () => {
  using opened = openNew()
  const { target, bytes } = blob('was written')
  await opened.content.put(target, streamOf(bytes))
  truncateSync(opened.blobFile(target), 0)
  assert.equal(await opened.content.has(target), false)
  assert.equal((await opened.content.stat(target.digest))?.state, 'damaged')
  await assert.rejects(opened.content.open(target), { kind: 'dataLoss', code: 'STRATA_BLOB_DAMAGED', hint: /Pull or load/ })
  assert.deepEqual(
    (await problemsOf(opened.content)).map(({ severity, path }) => ({ severity, path })),
    [{ severity: 'damage', path: opened.blobFile(target) }],
  )
  await opened.content.put(target, streamOf(bytes))
  assert.deepEqual(await problemsOf(opened.content), [])
})

test('hostile #72: verify() names damaged, missing, unrecorded and foreign files, and takes a mark back from a blob that is whole', async () => {
  using opened = openNew()
  const [damaged, missing, marked] = [blob('damaged'), blob('missing'), blob('marked')]
  for (const { target, bytes } of [damaged, missing, marked]) await opened.content.put(target, streamOf(bytes))
  assert.deepEqual(await problemsOf(opened.content), [])
  writeFileSync(opened.blobFile(damaged.target), 'damagee')
  rmSync(opened.blobFile(missing.target))
  opened.metadata.run("UPDATE blobs SET state = 'damaged' WHERE digest = ?", marked.target.digest)
  writeFileSync(opened.blobFile(blob('unrecorded').target), 'unrecorded')
  writeFileSync(join(opened.root, 'blobs', 'sha256', 'foreign'), '')
  const byPath = new Map((await problemsOf(opened.content)).map(problem => [problem.path, problem]))
  assert.equal(byPath.size, 4)
  assert.match(byPath.get(opened.blobFile(damaged.target))?.state ?? '', /its digest is/)
  assert.equal(byPath.get(opened.blobFile(missing.target))?.state, 'missing')
  assert.equal(byPath.get(opened.blobFile(blob('unrecorded').target))?.severity, 'garbage')
  assert.equal(byPath.get(join(opened.root, 'blobs', 'sha256', 'foreign'))?.severity, 'garbage')
  assert.equal(await opened.content.has(damaged.target), false)
  assert.equal(await read(opened.content, marked.target), 'marked')
})

test('recordDerivable() makes a blob that the deriver gives out, verified', async () => {
  using opened = openNew()
  const { target, bytes, diffId } = layer('a plain layer tar')
  opened.content.recordDerivable(target, diffId)
  assert.equal((await opened.content.stat(target.digest))?.state, 'derivable')
  assert.equal(await opened.content.has(target), true)
  assert.equal(opened.content.diffIdOf(target.digest), diffId)
  assert.equal(existsSync(opened.blobFile(target)), false)

  await assert.rejects(opened.content.open(target), { kind: 'dataLoss', code: 'STRATA_BLOB_NOT_DERIVABLE' })
  opened.content.setDeriver(() => streamOf(bytes))
  assert.equal(await read(opened.content, target), 'a plain layer tar')
  assert.equal(await read(opened.content, target, 8), 'layer tar')
  opened.content.setDeriver(async () => streamOf(Buffer.from('a plain layer tat')))
  await assert.rejects(read(opened.content, target), { code: 'STRATA_DIGEST_MISMATCH' })
})

test('a blob holds the layer that it was first verified to hold, and none that is said later', () => {
  using opened = openNew()
  const { content } = opened
  const [good, evil] = [layer('good'), layer('evil')]
  content.setUncompressed(good.target, good.diffId)
  content.setUncompressed({ ...good.target, mediaType: MEDIA_TYPES.layerGzip }, good.diffId)
  const contradiction = { kind: 'dataLoss', code: 'STRATA_LAYER_MISMATCH' }
  assert.throws(() => content.setUncompressed(good.target, evil.diffId), contradiction)
  assert.throws(() => content.recordDerivable(good.target, evil.diffId), contradiction)
  assert.equal(content.diffIdOf(good.target.digest), good.diffId)
  assert.deepEqual(content.blobsOf(good.diffId), [good.target])
  assert.deepEqual(content.blobsOf(evil.diffId), [])
})

test('release() gives bytes back only when they can be had again', async () => {
  using opened = openNew()
  const { content } = opened
  const { target, bytes, diffId } = layer('a layer')
  await content.put(target, streamOf(bytes))
  content.setUncompressed(target, diffId)

  content.setDeriver(() => streamOf(Buffer.from('a loyer')))
  await assert.rejects(content.release(target.digest, 'derivable'), { code: 'STRATA_DIGEST_MISMATCH' })
  await assert.rejects(content.release(target.digest, 'refetchable'), { kind: 'conflict', code: 'STRATA_BLOB_HAS_NO_SOURCE' })
  assert.equal(await read(content, target), 'a layer')

  content.setDeriver(() => streamOf(bytes))
  await content.release(target.digest, 'derivable')
  assert.equal(existsSync(opened.blobFile(target)), false)
  assert.equal(await read(content, target), 'a layer')

  content.addSource(target.digest, 'localhost:5000/team/app')
  await content.release(target.digest, 'refetchable')
  assert.equal(await content.has(target), false)
  await assert.rejects(content.open(target), { kind: 'unavailable', code: 'STRATA_BLOB_NOT_HERE', hint: /localhost:5000\/team\/app/ })
  await content.put(target, streamOf(bytes))
  assert.equal((await content.stat(target.digest))?.state, 'kept')
  assert.deepEqual(await problemsOf(content), [])
})

test('sources() and blobsOf() remember blobs that are only in registries, until forgetLayer()', async () => {
  using opened = openNew()
  const { content } = opened
  const plain = layer('plain')
  const compressed = { mediaType: MEDIA_TYPES.layerGzip, digest: digestOf(Buffer.from('compressed')), size: 10 }
  content.recordDerivable(plain.target, plain.diffId)
  content.setUncompressed(compressed, plain.diffId)
  content.addSource(compressed.digest, 'docker.io/library/debian')
  content.addSource(compressed.digest, 'localhost:5000/debian')
  assert.deepEqual([...content.sources(compressed.digest)].sort(), ['docker.io/library/debian', 'localhost:5000/debian'])
  assert.deepEqual(new Set(content.blobsOf(plain.diffId)), new Set([plain.target, compressed]))
  content.forgetLayer(plain.diffId)
  assert.deepEqual(content.blobsOf(plain.diffId), [plain.target])
  assert.deepEqual(content.sources(compressed.digest), [])
})

test('writeIndex() lists the images of which every blob is kept', async () => {
  using opened = openNew()
  const { content } = opened
  const config = blob('{}', MEDIA_TYPES.config)
  const [kept, derivable] = [layer('kept'), layer('derivable')]
  const whole = manifest(config.target, [kept.target])
  const partly = manifest(config.target, [kept.target, derivable.target])
  content.recordDerivable(derivable.target, derivable.diffId)
  for (const { target, bytes } of [config, kept, whole, partly]) await content.put(target, streamOf(bytes))
  const named = { ...whole.target, annotations: { 'org.opencontainers.image.ref.name': '1' } }
  content.writeIndex([[named, partly.target], [partly.target], [blob('absent').target, named]])
  assert.deepEqual(parseIndex(readFileSync(join(opened.root, 'index.json'))).manifests, [named, named])
})

test('a collection keeps what a manifest names, and removes unrecorded files and abandoned ingests', async () => {
  using opened = openNew()
  const { content } = opened
  const config = blob('{}', MEDIA_TYPES.config)
  const kept = layer('kept')
  const image = manifest(config.target, [kept.target])
  const loose = blob('loose')
  for (const { target, bytes } of [config, kept, image, loose]) await content.put(target, streamOf(bytes))
  const unrecorded = blob('unrecorded')
  writeFileSync(opened.blobFile(unrecorded.target), unrecorded.bytes)
  {
    await using old = await content.ingest('old')
    await old.write(streamOf(Buffer.from('old')))
    const dayAgo = new Date(Date.now() - 25 * 60 * 60 * 1000)
    for (const name of readdirSync(join(opened.root, 'ingest'))) utimesSync(join(opened.root, 'ingest', name), dayAgo, dayAgo)
    await using young = await content.ingest('young')
    await young.write(streamOf(Buffer.from('young')))
  }
  await using busy = await content.ingest('busy')
  const removed = await opened.collect([
    { kind: 'blob', id: image.target.digest },
    { kind: 'blob', id: 'no digest' },
  ])
  assert.deepEqual(
    removed.map(resource => resource.kind),
    ['blob', 'blob file', 'ingest'],
  )
  assert.equal(removed[0]?.id, loose.target.digest)
  assert.equal(readdirSync(join(opened.root, 'ingest')).length, 2)
  const ingests = content.collectables({ interrupted: true }).find(({ kind }) => kind === 'ingest')!
  const interrupted = [...ingests.list()]
  assert.equal(interrupted.length, 1, 'not the one that is being written')
  assert.deepEqual(content.interruptedIngests(), [{ id: interrupted[0], bytes: 5 }])
  for (const id of [...interrupted, ...readdirSync(join(opened.root, 'ingest'))]) await ingests.destroy?.(id)
  assert.equal(readdirSync(join(opened.root, 'ingest')).length, 1)
  await busy.write(streamOf(Buffer.from('busy')))
  await busy.commit({ mediaType: MEDIA_TYPES.layer })
  for (const { target, bytes } of [config, kept, image]) assert.equal(await read(content, target), bytes.toString())
  assert.deepEqual(await problemsOf(content), [])
})

test('hostile #70: a collection leaves a blob that came back between the end of its record and that of its file', async () => {
  using opened = openNew()
  const { content, metadata } = opened
  const { target, bytes } = blob('comes back')
  await content.put(target, streamOf(bytes))
  const meanwhile: Collectable = {
    kind: 'meanwhile',
    list: () => ['put'],
    references: () => [],
    drop: () => undefined,
    destroy: () => content.put(target, streamOf(bytes)),
  }
  const kinds = [meanwhile, ...content.collectables()]
  const removed = await collect({ metadata, leases: new Leases(metadata), kinds, roots: () => [] })
  assert.ok(removed.some(({ id }) => id === target.digest))
  assert.equal(await read(content, target), 'comes back')
})

test('a layer blob holds its layer', () => {
  using opened = openNew()
  const { target, diffId } = layer('a layer')
  opened.content.recordDerivable(target, diffId)
  const blobs = opened.content.collectables().find(kind => kind.kind === 'blob')
  assert.deepEqual([...(blobs?.references(target.digest) ?? [])], [{ kind: 'layer', id: diffId }])
})

test('put() under a manifest’s media type makes a manifest of a blob that was stored as something else', async () => {
  using opened = openNew()
  const config = blob('{}', MEDIA_TYPES.config)
  const image = manifest(config.target, [])
  await opened.content.put({ ...image.target, mediaType: 'application/octet-stream' }, streamOf(image.bytes))
  assert.deepEqual(opened.content.children(image.target.digest), [])
  await opened.content.put(image.target, streamOf())
  assert.deepEqual(opened.content.children(image.target.digest), [config.target.digest])
  assert.equal((await opened.content.stat(image.target.digest))?.mediaType, MEDIA_TYPES.manifest)
})

test('put() and commit() hold the blob for a lease from the moment it exists', async () => {
  using opened = openNew()
  const leases = new Leases(opened.metadata)
  const first = blob('first')
  const second = blob('second')
  {
    await using lease = leases.create()
    await opened.content.put(first.target, streamOf(first.bytes), { lease })
    await opened.content.put(first.target, streamOf(first.bytes), { lease })
    await using ingest = await opened.content.ingest('second')
    await ingest.write(streamOf(second.bytes))
    await ingest.commit({ mediaType: 'text/plain' }, { lease })
    assert.deepEqual(await opened.collect([]), [])
  }
  assert.deepEqual(new Set((await opened.collect([])).map(({ id }) => id)), new Set([first.target.digest, second.target.digest]))
})
