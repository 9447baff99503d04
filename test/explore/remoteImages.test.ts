import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { mkdir, mkdtemp, readdir, readFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import { streamOf } from '../../src/base/index.ts'
import { type Engine, type ListedFile, openEngine } from '../../src/engine/index.ts'
import { Stores } from '../../src/engine/stores.ts'
import { type ImageFiles, openImageFiles } from '../../src/explore/index.ts'
import { CURRENT_DIRECTORY, removeTree } from '../../src/host/index.ts'
import { ImageStore } from '../../src/image/index.ts'
import { openMetadata, openRootDirectory } from '../../src/metadata/index.ts'
import { type Descriptor, digestOf, MEDIA_TYPES, parseReference } from '../../src/oci/index.ts'
import { connectRepository } from '../../src/registry/index.ts'
import type { ReadableTree } from '../../src/layer/index.ts'
import { readTar } from '../../src/tar/index.ts'
import { resolveRemoteImage } from '../../src/transfer/index.ts'
import { layerUnion } from '../../src/union/index.ts'
import { bytesOf, dir, fifo, file, hardlink, type Member, opaque, symlink, tarOf, whiteout } from '../layer/layerTars.ts'
import { must, strata } from '../support/commands.ts'
import { ImageCrafter } from '../support/craftedImages.ts'
import { type Exchange, type FaultyProxy, faultyProxy } from '../support/faultyProxy.ts'
import { type LoopbackRegistry, startRegistry } from '../support/loopbackRegistry.ts'
import { eStargz, type SeekableLayer, type WriterOptions, zstdChunked } from '../support/seekableLayers.ts'

let scratch: string
let registry: LoopbackRegistry
let proxy: FaultyProxy
let engine: Engine
let made = 0

before(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'strata-look-'))
  registry = await startRegistry()
  proxy = await faultyProxy(registry.address)
  engine = await openEngine({ root: await emptyRoot(), configDirectory: scratch, fsync: false })
})
after(async () => {
  await engine.close()
  await proxy[Symbol.asyncDispose]()
  await registry[Symbol.asyncDispose]()
  await removeTree(CURRENT_DIRECTORY, scratch)
})

async function emptyRoot(): Promise<string> {
  const path = join(scratch, `root${(made += 1)}`)
  await mkdir(path, { mode: 0o710 })
  return path
}

/** An image in the registry. */
interface Published {
  /** As seen through the proxy. */
  readonly name: string
  /** Base first. */
  readonly layers: readonly Descriptor[]
}

type AnyLayer = SeekableLayer | { readonly tar: Buffer; readonly blob: Buffer; readonly annotations?: undefined }

const TYPES: readonly (readonly [magic: string, mediaType: string])[] = [
  ['1f8b', MEDIA_TYPES.layerGzip],
  ['28b5', MEDIA_TYPES.layerZstd],
]

/** @param layers base first */
async function publish(...layers: readonly AnyLayer[]): Promise<Published> {
  const repository = `image${(made += 1)}`
  const crafter = new ImageCrafter(registry.address, repository)
  const blobs: Descriptor[] = []
  for (const { blob, annotations } of layers) {
    const mediaType = TYPES.find(([magic]) => blob.toString('hex', 0, 2) === magic)?.[1] ?? MEDIA_TYPES.layer
    blobs.push({ ...(await crafter.blob(mediaType, blob)), ...(annotations === undefined ? {} : { annotations }) })
  }
  const config = { architecture: 'amd64', os: 'linux', rootfs: { type: 'layers', diff_ids: layers.map(({ tar }) => digestOf(tar)) } }
  const described = await crafter.blob(MEDIA_TYPES.config, Buffer.from(JSON.stringify(config)))
  await crafter.manifest('1', { schemaVersion: 2, mediaType: MEDIA_TYPES.manifest, config: described, layers: blobs })
  take(proxy)
  return { name: `${proxy.address}/${repository}:1`, layers: blobs }
}

const gzipped = (...members: readonly Member[]): AnyLayer => ({ tar: tarOf(...members), blob: gzipSync(tarOf(...members)) })
const AMD64 = { platform: 'linux/amd64' }

async function cat({ name }: Published, path: string, from: Engine = engine): Promise<string> {
  return (await bytesOf(await from.readFile(name, path, AMD64))).toString('latin1')
}

async function ls({ name }: Published, path: string): Promise<readonly string[]> {
  const listings = await Array.fromAsync(engine.listDirectory(name, path, AMD64))
  return listings.flatMap(({ files }) => files.map(each => each.name))
}

const taken = new WeakMap<FaultyProxy, number>()

/** What went through a proxy since the last call. */
function take(through: FaultyProxy): readonly Exchange[] {
  const news = through.exchanges.slice(taken.get(through) ?? 0)
  taken.set(through, through.exchanges.length)
  return news
}

interface Fetched {
  /** Number of the layer, from the base. */
  readonly layer: number
  readonly range: string | undefined
  readonly bytes: number
}

/** Which layers were fetched since the last look. */
function fetched({ layers }: Published, through = proxy): readonly Fetched[] {
  return take(through).flatMap(({ path, headers, down }) => {
    const layer = layers.findIndex(({ digest }) => path.endsWith(`/blobs/${digest}`))
    return layer === -1 ? [] : [{ layer, range: headers.range, bytes: down }]
  })
}

const layersFetched = (image: Published): readonly number[] => fetched(image).map(({ layer }) => layer)

test('readFile() fetches the layers from the top down to the one that decides, each once, and no other', async () => {
  const big = file('big', randomBytes(2_000_000))
  const image = await publish(
    gzipped(big, file('etc/base', 'base'), file('gone', 'gone'), file('dir/old', 'old'), dir('was'), file('was/x')),
    gzipped(file('etc/f', 'middle'), whiteout('gone'), opaque('dir'), file('dir/new', 'new'), file('was', 'a file now')),
    gzipped(
      file('top', 'top'),
      symlink('link', '/etc/../etc/f'),
      hardlink('hard', 'etc/f'),
      symlink('way', 'dir'),
      symlink('loop', 'loop'),
    ),
  )
  assert.equal(await cat(image, '/top'), 'top')
  // The top layer has a hard link to a file below, so it is understood only with the layer that has that.
  assert.deepEqual(layersFetched(image), [2, 1])
  for (const [path, content] of [
    ['/link', 'middle'],
    ['/hard', 'middle'],
    ['/../../etc/f', 'middle'],
    ['/way/new', 'new'],
    ['/was', 'a file now'],
  ] as const) {
    assert.equal(await cat(image, path), content, path)
    assert.deepEqual(layersFetched(image), [2, 1], path)
  }
  for (const [path, code] of [
    ['/gone', 'STRATA_NO_SUCH_FILE'],
    ['/dir/old', 'STRATA_NO_SUCH_FILE'],
    ['/was/x', 'STRATA_NOT_A_DIRECTORY'],
    ['/dir', 'STRATA_NOT_A_FILE'],
    ['/loop', 'STRATA_TOO_MANY_SYMLINKS'],
  ] as const) {
    await assert.rejects(cat(image, path), { code }, path)
    assert.deepEqual(layersFetched(image), [2, 1], path)
  }
  assert.equal(await cat(image, '/etc/base'), 'base')
  assert.deepEqual(layersFetched(image), [2, 1, 0])
})

test('readFile() of a file in the top layer fetches nothing of the layers below', async () => {
  const image = await publish(gzipped(file('big', randomBytes(2_000_000))), gzipped(dir('d'), file('d/f', 'top')))
  assert.equal(await cat(image, '/d/f'), 'top')
  assert.deepEqual(layersFetched(image), [1])
})

test('readFile() takes the last entry of a tar for what it is, wherever the first one stood', async () => {
  const image = await publish(
    gzipped(
      file('f', 'first'),
      dir('d'),
      file('d/x', 'x'),
      file('pad', randomBytes(100_000)),
      file('f', 'last'),
      file('d', 'no directory'),
    ),
  )
  assert.equal(await cat(image, '/f'), 'last')
  await assert.rejects(cat(image, '/d/x'), { code: 'STRATA_NOT_A_DIRECTORY' })
})

test('listDirectory() merges the layers down to the one that hides the rest', async () => {
  const image = await publish(
    gzipped(file('big', randomBytes(1_000_000)), file('d/old'), file('d/both', 'old'), file('e/x')),
    gzipped(file('d/b'), file('d/gone'), whiteout('d/both'), opaque('e'), file('e/y')),
    gzipped(file('d/a'), whiteout('d/gone')),
  )
  assert.deepEqual(await ls(image, '/d'), ['a', 'b', 'old'])
  assert.deepEqual(layersFetched(image), [2, 1, 0])
  assert.deepEqual(await ls(image, 'e'), ['y'])
  assert.deepEqual(layersFetched(image), [2, 1])
  assert.deepEqual(await ls(image, '/'), ['big', 'd', 'e'])
  await assert.rejects(ls(image, '/d/gone'), { kind: 'notFound', code: 'STRATA_NO_SUCH_FILE' })
})

test('inspectImage() with remote fetches manifest and config alone, and says what it says of the image when it is here', async () => {
  const image = await publish(gzipped(file('f', randomBytes(100_000))))
  const remote = await engine.inspectImage(image.name, { ...AMD64, remote: true })
  assert.deepEqual(layersFetched(image), [])
  await using here = await openEngine({ root: await emptyRoot(), configDirectory: scratch, fsync: false })
  await here.pull(image.name, { platforms: [AMD64.platform] })
  const local = await here.inspectImage(image.name)
  const { Size, GraphDriver, Metadata, ...rest } = local
  assert.deepEqual(remote, { ...rest, Size: image.layers[0]!.size, GraphDriver: { Name: '', Data: null }, Metadata: remote.Metadata })
  assert.ok(Size > 0 && GraphDriver.Name !== '' && Metadata.LastTagTime > remote.Metadata.LastTagTime)
})

test('an image that is here is looked into without its registry, unless that is asked for', async () => {
  const image = await publish(gzipped(file('f', 'content'), symlink('l', 'f')))
  await using here = await openEngine({ root: await emptyRoot(), configDirectory: scratch, fsync: false })
  await here.pull(image.name, { platforms: [AMD64.platform] })
  take(proxy)
  assert.equal(await cat(image, '/l', here), 'content')
  assert.deepEqual(take(proxy), [])
  assert.equal((await bytesOf(await here.readFile(image.name, '/f', { ...AMD64, remote: true }))).toString(), 'content')
  // Of the registry only what says which layers these are: they are here.
  assert.ok(take(proxy).length > 0)
  assert.deepEqual(fetched(image), [])
})

test('a layer whose blob is here is read from there', async () => {
  const image = await publish(gzipped(file('below', 'base')), gzipped(file('f', 'top')))
  const root = await emptyRoot()
  {
    using stores = openStores(root)
    await stores.content.put(image.layers[1]!, streamOf(gzipSync(tarOf(file('f', 'top')))))
  }
  await using here = await openEngine({ root, configDirectory: scratch, fsync: false })
  assert.equal(await cat(image, '/f', here), 'top')
  assert.deepEqual(layersFetched(image), [])
  assert.equal(await cat(image, '/below', here), 'base')
  assert.deepEqual(layersFetched(image), [0])
})

test('looking leaves nothing in the store', async () => {
  const root = await emptyRoot()
  await using here = await openEngine({ root, configDirectory: scratch, fsync: false })
  const image = await publish(gzipped(file('f', 'content')), eStargz([file('g', 'x')]))
  await cat(image, '/f', here)
  await assert.rejects(cat(image, '/nope', here))
  const stream = (await here.readFile(image.name, '/f', AMD64))[Symbol.asyncIterator]()
  await stream.next()
  // Nor is there anything that a kill would leave behind.
  assert.deepEqual(await readdir(join(root, 'ingest')), [])
  await stream.return?.()
  assert.deepEqual(await readdir(join(root, 'blobs')), [])
  assert.deepEqual(await here.images(), [])
})

function openStores(root: string): Stores & Disposable {
  const metadata = openMetadata(openRootDirectory(root))
  const stores = new Stores({ root, storageDriver: undefined, metadata, images: new ImageStore(metadata) })
  return Object.assign(stores, { [Symbol.dispose]: () => metadata.close() })
}

/** Everything that is seen of an image: each path with what `ls -l` says of it, and the digest of its content. */
type Sight = Readonly<Record<string, string>>

function seen(node: Omit<ListedFile, 'name'>, content: Buffer | undefined): string {
  const { type, mode, uid, gid, size, links, modifiedAt, linkTarget, device } = node
  const digest = content && createHash('sha256').update(content).digest('hex')
  return JSON.stringify([type, mode, uid, gid, size, links, modifiedAt.seconds, linkTarget, device, digest])
}

async function sightOf(files: ImageFiles): Promise<Sight> {
  const sight: Record<string, string> = {}
  for await (const { directory, files: listed } of files.list('/', { recursive: true })) {
    for (const { name, ...node } of listed) {
      const path = `${directory === '/' ? '' : directory}/${name}`
      sight[path] = seen(node, node.type === 'file' ? await bytesOf(await files.readFile(path)) : undefined)
    }
  }
  return sight
}

async function sightOfTree(tree: ReadableTree): Promise<Sight> {
  const sight: Record<string, string> = {}
  const visit = async (directory: string): Promise<void> => {
    for (const name of await tree.list(directory)) {
      const path = directory === '' ? name : `${directory}/${name}`
      const node = (await tree.lstat(path))!
      sight[`/${path}`] = seen(node, node.type === 'file' ? await bytesOf(tree.open(path)) : undefined)
      if (node.type === 'directory') await visit(path)
    }
  }
  await visit('')
  return sight
}

/** A part of this machine's system, and two layers over it. */
async function debianLayers(): Promise<readonly (readonly Member[])[]> {
  const tarPath = join(scratch, 'base.tar')
  const parts = ['alternatives', 'apt', 'default', 'init.d', 'pam.d', 'security', 'skel'].map(name => `etc/${name}`)
  await must('tar', '-C', '/', '-cf', tarPath, ...parts, 'usr/share/misc', 'bin')
  const base: Member[] = []
  for await (const { body, ...entry } of readTar(streamOf(await readFile(tarPath)))) {
    const content = await bytesOf(body)
    base.push({ ...entry, ...(entry.type === 'file' ? { content } : {}) })
  }
  assert.ok(base.length > 100, `${base.length} entries`)
  return [
    [...base, file('usr/share/zeros', Buffer.alloc(50_000)), file('usr/share/big', randomBytes(200_000)), fifo('run/fifo')],
    [
      whiteout('etc/skel'),
      opaque('etc/pam.d'),
      file('etc/pam.d/own', 'own'),
      dir('etc/init.d', { mode: 0o700, uid: 5 }),
      file('etc/default/zzz', 'z'.repeat(3000), { mode: 0o4755 }),
      hardlink('etc/default/hard', 'usr/share/big'),
      symlink('etc/link', '../usr/share/big'),
    ],
    [file('etc/skel', 'a file in its place'), whiteout('etc/link'), file('implied/deep/er/f', 'f'), hardlink('l2', 'implied/deep/er/f')],
  ]
}

test('of a Debian tree the registry shows what the store shows, with whole layers and with tables of contents', async () => {
  const layers = await debianLayers()
  const forms: Readonly<Record<string, readonly AnyLayer[]>> = {
    gzip: layers.map(members => gzipped(...members)),
    zstd: layers.map(members => ({ tar: tarOf(...members), blob: zstdCompressSync(tarOf(...members)) })),
    plain: layers.map(members => ({ tar: tarOf(...members), blob: tarOf(...members) })),
    eStargz: layers.map(members => eStargz(members)),
    'zstd:chunked': layers.map(members => zstdChunked(members)),
  }
  const sights: Record<string, Sight> = {}
  for (const [form, each] of Object.entries(forms))
    sights[form] = await compareWithStore(await publish(...each), { hasTables: form === 'eStargz' || form === 'zstd:chunked' })
  // The table of eStargz is a file itself.
  const { '/stargz.index.json': table, ...rest } = sights['eStargz']!
  assert.ok(table !== undefined)
  for (const sight of [sights['zstd'], sights['plain'], sights['zstd:chunked'], rest]) assert.deepEqual(sight, sights['gzip'])
})

test('of layers that skopeo made zstd:chunked the registry shows what the store shows', async t => {
  const image = await publish(...(await debianLayers()).map((members): AnyLayer => ({ tar: tarOf(...members), blob: tarOf(...members) })))
  // A registry that has the plain layers already would be given no others.
  await using other = await startRegistry()
  const flags = ['--src-tls-verify=false', '--dest-tls-verify=false', '--dest-compress-format', 'zstd:chunked']
  await must(
    'skopeo',
    'copy',
    ...flags,
    `docker://${image.name.replace(proxy.address, registry.address)}`,
    `docker://${other.address}/chunked:1`,
  )
  const raw = await must('skopeo', 'inspect', '--raw', '--tls-verify=false', `docker://${other.address}/chunked:1`)
  const { layers } = JSON.parse(raw) as { readonly layers: readonly Descriptor[] }
  if (layers[0]!.annotations === undefined) return t.skip('this skopeo does not write zstd:chunked')
  await using counted = await faultyProxy(other.address)
  await compareWithStore({ name: `${counted.address}/chunked:1`, layers }, { hasTables: true, counted })
})

/** Compares what is seen through the registry with what the store shows when the image was pulled; gives what is seen. */
async function compareWithStore(
  image: Published,
  { hasTables, counted = proxy }: { readonly hasTables: boolean; readonly counted?: FaultyProxy },
): Promise<Sight> {
  using stores = openStores(await emptyRoot())
  const reference = parseReference(image.name)
  await using repository = await connectRepository(reference, { configDirectory: scratch, access: 'pull' })
  const remote = await resolveRemoteImage(repository, reference, { platform: { os: 'linux', architecture: 'amd64' } })
  const diffIds = remote.config.rootfs.diff_ids
  const stack = remote.manifest.layers.map((blob, at) => ({ blob, diffId: diffIds[at]! }))
  const { content, layers } = stores
  take(counted)
  await using files = openImageFiles(stack, { content, layers, repository, scratch: stores.scratchDirectory() }, { readsContents: true })
  const sight = await sightOf(files)
  const parts = fetched(image, counted)
  assert.ok(parts.length >= 3 && parts.every(({ range }) => (range !== undefined) === hasTables), JSON.stringify(parts.slice(0, 5)))

  const root = await emptyRoot()
  {
    await using here = await openEngine({ root, configDirectory: scratch, fsync: false })
    await here.pull(image.name, { platforms: [AMD64.platform] })
  }
  using pulled = openStores(root)
  const union = layerUnion(
    diffIds.toReversed().map(diffId => ({
      index: pulled.layers.get(diffId)!.index,
      open: (path, range) => pulled.layers.openFile(diffId, path, range),
    })),
  )
  assert.deepEqual(sight, await sightOfTree(union))
  assert.ok(Object.keys(sight).length > 100)
  return sight
}

test('of a layer with a table only the table and the pieces of the file are fetched', async () => {
  const big = randomBytes(3_000_000)
  const members = [
    file('a', big),
    file('small', 'content of a small file'),
    dir('d'),
    file('d/middle', randomBytes(50_000)),
    file('z', big),
  ]
  for (const [form, write] of [
    ['eStargz', eStargz],
    ['zstd:chunked', zstdChunked],
  ] as const) {
    const layer = write(members, { chunkBytes: 64 * 1024 })
    const image = await publish(gzipped(file('base', big)), layer)
    assert.equal(await cat(image, '/small'), 'content of a small file')
    const small = fetched(image)
    const bytes = small.reduce((sum, each) => sum + each.bytes, 0)
    assert.ok(
      small.every(({ layer: number, range }) => number === 1 && range !== undefined),
      form,
    )
    assert.ok(bytes < 20_000, `${form}: ${bytes} of ${layer.blob.length} bytes`)
    assert.equal(small.length, form === 'eStargz' ? 3 : 2)

    assert.equal(await cat(image, '/z'), big.toString('latin1'))
    const large = fetched(image)
    assert.equal(large.length, form === 'eStargz' ? 3 : 2, 'pieces that are neighbours come at once')
    assert.ok(large.reduce((sum, each) => sum + each.bytes, 0) < 3_100_000, form)

    assert.deepEqual(await ls(image, '/d'), ['middle'])
    const listed = fetched(image)
    // The base has no table: what it has there is only known when all of it was read.
    assert.deepEqual(new Set(listed.map(({ layer: number }) => number)), new Set([0, 1]))
    assert.ok(listed.filter(({ layer: number }) => number === 1).reduce((sum, each) => sum + each.bytes, 0) < 20_000, form)
  }
})

test('a registry that knows no ranges is looked into as well', async () => {
  const layer = zstdChunked([file('f', 'content'), file('g', randomBytes(10_000)), file('h', 'x'.repeat(3000))])
  const image = await publish(layer)
  await using other = await faultyProxy(registry.address, { fault: () => ({ ask: { range: undefined } }) })
  const there = { ...image, name: image.name.replace(proxy.address, other.address) }
  assert.equal(await cat(there, '/f'), 'content')
  assert.equal(await cat(there, '/h'), 'x'.repeat(3000))
})

test('a table that the manifest does not vouch for, or that is another one, is not believed: the layer is read whole', async () => {
  const members = [file('f', 'content'), file('g', 'x'.repeat(5000))]
  const lie: WriterOptions = {
    toc: entries => ({ version: 1, entries: entries.map(entry => ({ ...entry, name: `lie-${String(entry['name'])}` })) }),
  }
  const wrong = `sha256:${'0'.repeat(64)}`
  const [stargz, chunked] = [eStargz(members, lie), zstdChunked(members, lie)]
  const keys = Object.keys(chunked.annotations)
  const cases: readonly (readonly [title: string, layer: SeekableLayer])[] = [
    ['no annotation', { ...stargz, annotations: {} }],
    ['no annotation', { ...chunked, annotations: {} }],
    ['another digest', { ...stargz, annotations: { [Object.keys(stargz.annotations)[0]!]: wrong } }],
    ['another digest', { ...chunked, annotations: { ...chunked.annotations, [keys[0]!]: wrong } }],
    ['no digest', { ...chunked, annotations: { [keys[1]!]: chunked.annotations[keys[1]!]! } }],
    ['a place outside', { ...chunked, annotations: { ...chunked.annotations, [keys[1]!]: `${chunked.blob.length}:10:10:1` } }],
    ['a place elsewhere', { ...chunked, annotations: { ...chunked.annotations, [keys[1]!]: '0:10:10:1' } }],
    // What nobody's reader may be led by, though its digest is right.
    ['no JSON', eStargz(members, { toc: () => 'x' })],
    [
      'entries of no layer',
      zstdChunked(members, { toc: entries => ({ version: 1, entries: [...entries, { type: 'dir', name: '../../x' }] }) }),
    ],
    [
      'pieces outside',
      zstdChunked(members, { toc: entries => ({ version: 1, entries: entries.map(entry => ({ ...entry, offset: 1e9 })) }) }),
    ],
    ['a bomb', zstdChunked(members, { toc: () => ' '.repeat(60 * 1024 * 1024) })],
    ['a bomb', eStargz(members, { toc: () => ' '.repeat(60 * 1024 * 1024) })],
    ['another version', eStargz(members, { toc: entries => ({ version: 2, entries }) })],
  ]
  for (const [title, layer] of cases) {
    const image = await publish(layer)
    assert.equal(await cat(image, '/f'), 'content', title)
    const whole = fetched(image).filter(({ range }) => range === undefined)
    assert.deepEqual(whole, [{ layer: 0, range: undefined, bytes: layer.blob.length }], title)
  }
})

test('content that is not what the table says is not given out', async () => {
  const members = [file('f', 'a'.repeat(100)), file('g', 'b'.repeat(100)), file('long', randomBytes(10_000))]
  const zeros = `sha256:${'0'.repeat(64)}`
  for (const write of [eStargz, zstdChunked]) {
    const lying = write(members, {
      toc: entries => ({
        version: 1,
        entries: entries.map(entry => ({
          ...entry,
          ...(entry['name'] === 'f' ? { digest: zeros, chunkDigest: zeros } : {}),
          ...(entry['chunkOffset'] === 5120 ? { chunkDigest: zeros } : {}),
        })),
      }),
    })
    const image = await publish(lying)
    await assert.rejects(cat(image, '/f'), { kind: 'dataLoss', code: 'STRATA_DIGEST_MISMATCH' })
    assert.equal(await cat(image, '/g'), 'b'.repeat(100))
    const given: Uint8Array[] = []
    const reading = async (): Promise<void> => {
      for await (const chunk of await engine.readFile(image.name, '/long', AMD64)) given.push(chunk)
    }
    await assert.rejects(reading(), { code: 'STRATA_DIGEST_MISMATCH' })
    assert.deepEqual(Buffer.concat(given), Buffer.from(members[2]!.content!).subarray(0, 5120), 'what came before is right')
  }
})

test('a layer that the registry or the network damages gives nothing out', async () => {
  const [whole, table] = [gzipped(file('f', randomBytes(50_000))), zstdChunked([file('f', randomBytes(50_000))], { chunkBytes: 50_000 })]
  for (const layer of [whole, table]) {
    const image = await publish(layer)
    const isLayer = (path: string): boolean => path.endsWith(image.layers[0]!.digest)
    await using damaging = await faultyProxy(registry.address, { fault: ({ path }) => (isLayer(path) ? { corruptAt: 20_000 } : undefined) })
    const given: Uint8Array[] = []
    const reading = async (): Promise<void> => {
      const name = image.name.replace(proxy.address, damaging.address)
      for await (const chunk of await engine.readFile(name, '/f', AMD64)) given.push(chunk)
    }
    await assert.rejects(reading(), { kind: 'dataLoss' })
    assert.deepEqual(given, [])
  }
})

test('a layer that is not what its DiffId says gives nothing out', async () => {
  const image = await publish(gzipped(file('f', 'content')))
  const other = gzipSync(tarOf(file('f', 'forged!')))
  const crafter = new ImageCrafter(registry.address, 'forged')
  const blob = await crafter.blob(MEDIA_TYPES.layerGzip, other)
  const config = await crafter.blob(
    MEDIA_TYPES.config,
    Buffer.from(
      JSON.stringify({ architecture: 'amd64', os: 'linux', rootfs: { type: 'layers', diff_ids: [digestOf(tarOf(file('f', 'content')))] } }),
    ),
  )
  await crafter.manifest('1', { schemaVersion: 2, mediaType: MEDIA_TYPES.manifest, config, layers: [blob] })
  await assert.rejects(cat({ ...image, name: `${proxy.address}/forged:1` }, '/f'), { kind: 'dataLoss', code: 'STRATA_DIFF_ID_MISMATCH' })
})

test('strata ls and strata cat print what is in an image of a registry', async () => {
  const image = await publish(
    gzipped(
      dir('etc', { modifiedAt: { seconds: 0, nanoseconds: 0 } }),
      file('etc/os-release', 'ID=debian\n'),
      symlink('etc/link', 'os-release'),
    ),
  )
  const root = await emptyRoot()
  const run = (...args: string[]) => strata(['--root', root, '--config', scratch, ...args, '--platform', 'linux/amd64'])
  const printed = await run('cat', `${image.name}:/etc/link`, `${image.name}:/nope`, `${image.name}:/etc/os-release`)
  assert.deepEqual([printed.code, printed.stdout], [1, 'ID=debian\nID=debian\n'])
  assert.match(printed.stderr, /^strata: Cannot find "\/nope" in the image: no such file or directory\n$/)
  assert.equal((await run('ls', image.name)).stdout, 'etc\n')
  assert.equal((await run('ls', '-l', image.name, '/')).stdout, 'drwxr-xr-x 1 0 0 0 1970-01-01 00:00 etc\n')
  assert.equal((await run('ls', '-R', image.name, '/etc')).stdout, '/etc:\nlink\nos-release\n')
  const long = (await run('ls', '-l', image.name, '/etc/link')).stdout
  assert.match(long, /^lrwxrwxrwx 1 0 0 10 \d{4}-\d\d-\d\d \d\d:\d\d \/etc\/link -> os-release\n$/)
  const inspected = await run('image', 'inspect', '--remote', '--format', '{{.Os}} {{len .RootFS.Layers}}', image.name)
  assert.equal(inspected.stdout, 'linux 1\n')
  const wrong = await run('cat', 'debian')
  assert.equal(wrong.code, 1)
  assert.match(wrong.stderr, /expected IMAGE:PATH/)
})
