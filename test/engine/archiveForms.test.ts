import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import { fileStream } from '../../src/base/index.ts'
import { type Engine, openEngine, type SaveOptions } from '../../src/engine/index.ts'
import { type Descriptor, digestHex, digestOf, type ImageIndex, type ImageManifest, MEDIA_TYPES } from '../../src/oci/index.ts'
import { must, STRATA } from '../support/commands.ts'
import { ImageCrafter } from '../support/craftedImages.ts'
import { type LoopbackRegistry, startRegistry } from '../support/loopbackRegistry.ts'
import { checkStore } from '../support/storeCheck.ts'
import { tarOf } from '../support/tars.ts'

const isRoot = process.getuid?.() === 0

let scratch: string
let registry: LoopbackRegistry
let name: string
let index: Descriptor
let amd64: Descriptor
let arm64: Descriptor

const SHARED = { tar: tarOf({ shared: randomBytes(150_000) }), compression: 'none' } as const

before(async () => {
  // Not in /tmp, which may be a tmpfs: EROFS mounts no file of one.
  scratch = await mkdtemp('/var/tmp/strata-forms-')
  registry = await startRegistry()
  name = `${registry.address}/team/app`
  const crafter = new ImageCrafter(registry.address, 'team/app')
  amd64 = await crafter.image('amd64', [SHARED, { tar: tarOf({ a: 'amd64' }), compression: 'gzip' }])
  arm64 = await crafter.image('arm64', [SHARED, { tar: tarOf({ a: 'arm64' }), compression: 'zstd' }], { architecture: 'arm64' })
  index = await crafter.index('multi', { amd64, arm64 })
})
after(async () => {
  await registry[Symbol.asyncDispose]()
  await rm(scratch, { recursive: true, force: true })
})

let places = 0
const fresh = (): string => join(scratch, `place-${(places += 1)}`)

async function store(storageDriver = 'vfs'): Promise<{ readonly engine: Engine; readonly root: string } & AsyncDisposable> {
  const root = fresh()
  const engine = await openEngine({ root, storageDriver, userConfigDirectory: scratch, systemDirectory: scratch })
  return { engine, root, [Symbol.asyncDispose]: () => engine.close() }
}

async function saved(engine: Engine, references: readonly string[], options: SaveOptions = {}): Promise<string> {
  const path = fresh()
  await writeFile(path, await engine.save(references, options))
  return path
}

/** What a store has under a name: the whole of it. */
const digestOfAll = async (engine: Engine, reference: string): Promise<string> =>
  (await engine.copy(`strata:${reference}`, `oci:${fresh()}`, { platforms: 'all' })).manifestDigest

test(
  'save() gives the same bytes from every store, driver and order of arrival',
  { skip: isRoot ? false : 'drivers need root' },
  async () => {
    const archives = new Map<string, Set<string>>()
    for (const driver of ['vfs', 'overlay2', 'erofs']) {
      await using it = await store(driver)
      if (driver === 'vfs') for (const tag of ['arm64', 'multi']) await it.engine.pull(`${name}:${tag}`, { platforms: 'all' })
      else for (const tag of ['multi', 'arm64']) await it.engine.pull(`${name}:${tag}`, { platforms: 'all' })
      for (const format of ['docker-archive', 'oci-archive'] as const) {
        for (const compression of ['none', 'gzip', 'zstd'] as const) {
          for (const time of [1, 2]) {
            const path = await saved(it.engine, [`${name}:multi`, `${name}:arm64`], { format, compression })
            const key = `${format} ${compression}`
            archives.set(key, (archives.get(key) ?? new Set()).add(digestOf(readFileSync(path))))
            await rm(path)
            assert.ok(time)
          }
        }
      }
    }
    for (const [key, digests] of archives) assert.equal(digests.size, 1, key)
    assert.equal(archives.size, 6)
  },
)

test('an index of several images stays one from save() to load(), on each format; skopeo agrees', async () => {
  await using ours = await store()
  await ours.engine.pull(`${name}:multi`, { platforms: 'all' })
  for (const format of ['docker-archive', 'oci-archive', 'docker', 'oci'] as const) {
    const archive = await saved(ours.engine, [`${name}:multi`], { format })
    const raw = await must('skopeo', 'inspect', '--raw', `oci-archive:${archive}:multi`)
    assert.equal(digestOf(Buffer.from(raw)), index.digest)
    await must('skopeo', '--insecure-policy', 'copy', '-q', '--all', `oci-archive:${archive}:multi`, `dir:${fresh()}`)
    await using theirs = await store()
    const [loaded] = await theirs.engine.load(archive)
    assert.equal(loaded!.name, `${name}:multi`)
    assert.equal(await digestOfAll(theirs.engine, `${name}:multi`), index.digest)
    await theirs.engine.close()
    assert.deepEqual((await checkStore(theirs.root, 'vfs')).faults, [])
  }
})

test('copy() finds an image of a saved archive by its tag, its name or its place', async () => {
  await using ours = await store()
  await ours.engine.pull(`${name}:amd64`)
  for (const each of ['one:1', 'two:1', 'two:2']) await ours.engine.tag(`${name}:amd64`, each)
  await ours.engine.pull(`${name}:arm64`)
  await ours.engine.tag(`${name}:arm64`, 'three:1')
  const archive = await saved(ours.engine, ['one:1', 'three:1', 'two:2'])
  const found = async (place: string): Promise<string> => (await ours.engine.copy(place, `dir:${fresh()}`)).manifestDigest
  for (const each of [
    'oci-archive:A:2',
    'oci-archive:A:one:1',
    'oci-archive:A:docker.io/library/two:2',
    'oci-archive:A:index.docker.io/library/two:2',
    'oci-archive:A:docker.io/one:1',
    'oci-archive:A:library/one:1',
    'docker-archive:A:two:2',
    'docker-archive:A:docker.io/library/two:2',
    'docker-archive:A:library/two:2',
    'docker-archive:A:@0',
    'oci-archive:A:@0',
  ])
    assert.equal(await found(each.replace('A', archive)), amd64.digest, each)
  for (const each of ['oci-archive:A:three:1', 'docker-archive:A:three:1', 'docker-archive:A:@1'])
    assert.equal(await found(each.replace('A', archive)), arm64.digest, each)
  for (const each of ['oci-archive:A:1', 'docker-archive:A'])
    await assert.rejects(found(each.replace('A', archive)), { code: 'STRATA_SEVERAL_IMAGES', hint: /one:1, .*three:1/ }, each)
})

test('copy() finds an image of an archive by every name that its error lists', async () => {
  await using ours = await store()
  await ours.engine.pull(`${name}:amd64`)
  await ours.engine.pull(`${name}:arm64`)
  await ours.engine.tag(`${name}:amd64`, 'named')
  const [saved_, labelled] = [await saved(ours.engine, ['named', `${name}:arm64`]), fresh()]
  const nameless = await saved(ours.engine, [(await ours.engine.inspectImage('named')).Id, `${name}:arm64`])
  await ours.engine.copy('strata:named', `oci-archive:${labelled}:v1`)
  for (const [archive, count] of [
    [saved_, 2],
    [labelled, 1],
    [nameless, 2],
  ] as const)
    for (const kind of ['oci-archive', 'docker-archive']) {
      const error = await ours.engine.copy(`${kind}:${archive}:none/such:1`, `dir:${fresh()}`).catch((thrown: unknown) => thrown)
      const { code, hint = '' } = error as { code: string; hint?: string }
      assert.equal(code, 'STRATA_NOT_IN_ARCHIVE')
      const listed = hint
        .replace(/^It has /, '')
        .replace(/\.$/, '')
        .split(', ')
      assert.equal(listed.length, count, hint)
      for (const each of listed) await ours.engine.copy(`${kind}:${archive}:${each}`, `dir:${fresh()}`)
    }
})

test('save() takes the platforms that are asked for, and load() the one that is', async () => {
  await using ours = await store()
  await ours.engine.pull(`${name}:multi`, { platforms: 'all' })
  const one = await saved(ours.engine, [`${name}:multi`], { platforms: ['linux/arm64'] })
  const both = await saved(ours.engine, [`${name}:multi`], { platforms: ['linux/arm64', 'linux/amd64'] })
  await assert.rejects(ours.engine.save([`${name}:multi`], { platforms: ['linux/s390x'] }), { code: 'STRATA_NO_SUCH_PLATFORM' })
  await using theirs = await store()
  await theirs.engine.load(one)
  assert.equal(await digestOfAll(theirs.engine, `${name}:multi`), arm64.digest)
  await theirs.engine.load(both)
  assert.equal(await digestOfAll(theirs.engine, `${name}:multi`), index.digest)
  await using third = await store()
  await third.engine.load(both, { platform: 'linux/amd64' })
  assert.equal(await digestOfAll(third.engine, `${name}:multi`), amd64.digest)
  await assert.rejects(third.engine.load(both, { platform: 'linux/s390x' }), { code: 'STRATA_NO_SUCH_PLATFORM' })
})

test('of an index that is here in part save() takes what is here, and load() what an archive has', async () => {
  await using ours = await store()
  await ours.engine.pull(`${name}:multi`, { platforms: ['linux/amd64', 'linux/arm64'] })
  await using part = await store()
  await part.engine.pull(`${name}:multi`)
  await using theirs = await store()
  await theirs.engine.load(await saved(part.engine, [`${name}:multi`]))
  assert.equal(await digestOfAll(theirs.engine, `${name}:multi`), amd64.digest)
  // As Docker saves it: the index as it is, with the blobs of one platform.
  const layout = fresh()
  await ours.engine.copy(`strata:${name}:multi`, `oci:${layout}:docker.io/team/part:1`, { platforms: 'all' })
  await rm(join(layout, 'blobs/sha256', digestHex(arm64.digest)))
  const [loaded] = await theirs.engine.load(layout)
  assert.equal(loaded!.name, 'team/part:1')
  assert.equal(await digestOfAll(theirs.engine, 'team/part:1'), amd64.digest)
})

test('load() takes archives and directories of every form, compressed ones and streams', async () => {
  await using ours = await store()
  await ours.engine.pull(`${name}:amd64`)
  const archive = await saved(ours.engine, [`${name}:amd64`])
  const bytes = readFileSync(archive)
  const [gzip, zstd, directory, layout, unpacked, docker] = Array.from({ length: 6 }, fresh)
  await writeFile(gzip!, gzipSync(bytes))
  await writeFile(zstd!, zstdCompressSync(bytes))
  await ours.engine.copy(`strata:${name}:amd64`, `dir:${directory}`)
  await ours.engine.copy(`strata:${name}:amd64`, `oci:${layout}:${name}:amd64`)
  await mkdir(unpacked!)
  await must('tar', '-C', unpacked!, '-xf', archive)
  await must('skopeo', '--insecure-policy', 'copy', '-q', `oci:${layout}:${name}:amd64`, `docker-archive:${docker}:${name}:amd64`)
  const id = (await ours.engine.inspectImage(`${name}:amd64`)).Id
  for (const [title, source] of Object.entries({ archive, gzip, zstd, directory, layout, unpacked, docker })) {
    await using theirs = await store()
    const [loaded, ...more] = await theirs.engine.load(title === 'zstd' ? fileStream(source!) : source!)
    assert.equal(loaded!.imageId, id, title)
    assert.equal(loaded!.name, title === 'directory' ? undefined : `${name}:amd64`, title)
    assert.deepEqual(more, [])
    const again = await theirs.engine.copy(`strata:${id}`, `dir:${fresh()}`)
    if (title !== 'docker') assert.equal(again.manifestDigest, amd64.digest, title)
  }
})

test('load() takes a pipe by its path, and has it once', async () => {
  await using ours = await store()
  await ours.engine.pull(`${name}:amd64`)
  const archive = await saved(ours.engine, [`${name}:amd64`])
  for (const form of ['cat', 'gzip -c']) {
    await using theirs = await store()
    const pipe = fresh()
    await must('mkfifo', pipe)
    const [loaded] = await Promise.all([theirs.engine.load(pipe), must('sh', '-c', `${form} "$0" > "$1"`, archive, pipe)])
    assert.deepEqual(loaded, [{ imageId: (await ours.engine.inspectImage(`${name}:amd64`)).Id, name: `${name}:amd64` }])
  }
  // One that a shell has made has no name in any directory.
  const script = 'exec "$0" --root "$1" --no-fsync load -q -i <(cat "$2")'
  const oci = await saved(ours.engine, [`${name}:amd64`], { format: 'oci-archive' })
  assert.match(await must('bash', '-c', script, STRATA, fresh(), oci), /^Loaded image/)
})

test('save() compresses what is plain and leaves the rest; what it has changed it names so', async () => {
  await using ours = await store()
  await ours.engine.pull(`${name}:amd64`)
  for (const [compression, mediaType] of [
    ['gzip', MEDIA_TYPES.layerGzip],
    ['zstd', MEDIA_TYPES.layerZstd],
  ] as const) {
    const archive = await saved(ours.engine, [`${name}:amd64`], { compression, format: 'oci-archive' })
    const layout = fresh()
    await mkdir(layout)
    await must('tar', '-C', layout, '-xf', archive)
    const read = (digest: string): Buffer => readFileSync(join(layout, 'blobs/sha256', digest.slice(7)))
    const top = JSON.parse(readFileSync(join(layout, 'index.json'), 'utf8')) as ImageIndex
    const manifest = JSON.parse(read(top.manifests[0]!.digest).toString()) as ImageManifest
    assert.deepEqual(
      manifest.layers.map(layer => layer.mediaType),
      [mediaType, MEDIA_TYPES.layerGzip],
    )
    await using theirs = await store()
    await theirs.engine.load(archive)
    assert.equal((await theirs.engine.inspectImage(`${name}:amd64`)).Id, (await ours.engine.inspectImage(`${name}:amd64`)).Id)
    await must('skopeo', '--insecure-policy', 'copy', '-q', `oci-archive:${archive}`, `dir:${fresh()}`)
  }
})

test('an artifact is saved and loaded under its name, and not without one', async () => {
  const crafter = new ImageCrafter(registry.address, 'team/chart')
  const config = await crafter.blob(MEDIA_TYPES.empty, Buffer.from('{}'))
  const layers = [await crafter.blob('application/vnd.example', randomBytes(1000))]
  const chart = await crafter.manifest('1', { schemaVersion: 2, mediaType: MEDIA_TYPES.manifest, artifactType: 'a/b', config, layers })
  const reference = `${registry.address}/team/chart:1`
  await using ours = await store()
  await ours.engine.pull(reference)
  await assert.rejects(saved(ours.engine, [reference]), { code: 'STRATA_MANIFEST_NOT_AN_IMAGE' })
  const archive = await saved(ours.engine, [reference], { format: 'oci-archive' })
  await using theirs = await store()
  const [loaded] = await theirs.engine.load(archive)
  assert.deepEqual(loaded, { imageId: chart.digest, name: reference })
  assert.equal(await digestOfAll(theirs.engine, reference), chart.digest)
  const layout = fresh()
  await ours.engine.copy(`strata:${reference}`, `oci:${layout}`)
  await assert.rejects(theirs.engine.load(layout), { code: 'STRATA_MANIFEST_NOT_AN_IMAGE' })
})

test('when one image of an archive is bad, load() takes none', async () => {
  await using ours = await store()
  for (const tag of ['amd64', 'arm64']) await ours.engine.pull(`${name}:${tag}`)
  const layout = fresh()
  for (const tag of ['amd64', 'arm64']) await ours.engine.copy(`strata:${name}:${tag}`, `oci:${layout}:${name}:${tag}`)
  const bad = fresh()
  await cp(layout, bad, { recursive: true })
  await rm(join(bad, 'blobs/sha256', digestHex(digestOf(zstdCompressSync(tarOf({ a: 'arm64' }))))))
  await using theirs = await store()
  await assert.rejects(theirs.engine.load(bad), { code: 'STRATA_ARCHIVE_INCOMPLETE' })
  assert.deepEqual(await theirs.engine.images({ all: true }), [])
  assert.equal((await theirs.engine.load(layout)).length, 2)
})
