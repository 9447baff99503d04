import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs'
import { cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { isStrataError } from '../../src/base/index.ts'
import { type CopyImageOptions, type Engine, openEngine } from '../../src/engine/index.ts'
import {
  type Descriptor,
  describeBytes,
  digestHex,
  digestOf,
  type ImageIndex,
  type ImageManifest,
  MEDIA_TYPES,
} from '../../src/oci/index.ts'
import { must, STRATA } from '../support/commands.ts'
import { type Exchange, faultyProxy } from '../support/faultyProxy.ts'
import { ImageCrafter } from '../support/craftedImages.ts'
import { type LoopbackRegistry, startRegistry } from '../support/loopbackRegistry.ts'
import { checkStore } from '../support/storeCheck.ts'
import { tarOf } from '../support/tars.ts'

const isRoot = process.getuid?.() === 0

let scratch: string
let first: LoopbackRegistry
let second: LoopbackRegistry
let engine: Engine
let root: string
/** In the first registry: an index of two platforms, its images, and an artifact. */
let index: Descriptor
let amd64: Descriptor
let arm64: Descriptor
let artifact: Descriptor

const LAYERS = [
  { tar: tarOf({ a: randomBytes(200_000) }), compression: 'gzip' },
  { tar: tarOf({ b: 'b' }), compression: 'zstd' },
  { tar: tarOf({ c: randomBytes(100_000) }), compression: 'none' },
] as const

before(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'strata-copy-'))
  ;[first, second] = await Promise.all([startRegistry(), startRegistry()])
  root = join(scratch, 'root')
  engine = await openEngine({ root, storageDriver: 'vfs', userConfigDirectory: scratch, systemDirectory: scratch })
  const crafter = new ImageCrafter(first.address, 'team/app')
  amd64 = await crafter.image('amd64', LAYERS)
  arm64 = await crafter.image('arm64', [{ tar: tarOf({ arm: 'arm' }), compression: 'gzip' }], { architecture: 'arm64' })
  index = await crafter.index('multi', { amd64, arm64 })
  const config = await crafter.blob(MEDIA_TYPES.empty, Buffer.from('{}'))
  const chart = await crafter.blob('application/vnd.example.chart', randomBytes(50_000))
  artifact = await crafter.manifest('chart', {
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.manifest,
    artifactType: 'application/vnd.example.chart',
    config,
    layers: [chart],
  })
})
after(async () => {
  await engine.close()
  await first[Symbol.asyncDispose]()
  await second[Symbol.asyncDispose]()
  await rm(scratch, { recursive: true, force: true })
})

let places = 0
/** A path that nobody has used. */
const fresh = (): string => join(scratch, `place-${(places += 1)}`)
const remote = (tag: string): string => `docker://${first.address}/team/app:${tag}`
let repositories = 0
const newRepository = (registry: LoopbackRegistry): string => `docker://${registry.address}/new/r${(repositories += 1)}:1`

const copy = async (source: string, destination: string, options: CopyImageOptions = {}): Promise<string> =>
  (await engine.copy(source, destination, options)).manifestDigest

const skopeo = (...args: readonly string[]): Promise<string> => must('skopeo', '--insecure-policy', ...args)
const SKOPEO_COPY = ['copy', '-q', '--src-tls-verify=false', '--dest-tls-verify=false'] as const

/** The digest of what skopeo finds at a place. */
const digestAt = async (place: string): Promise<string> =>
  digestOf(Buffer.from(await skopeo('inspect', '--raw', '--tls-verify=false', place)))

/** The places that one image, index or artifact can be at, each of them new. */
function newPlaces(): Readonly<Record<string, string>> {
  return {
    registry: newRepository(second),
    'same registry': newRepository(first),
    'image directory': `dir:${fresh()}`,
    layout: `oci:${fresh()}:some/tag-1`,
    'layout without a tag': `oci:${fresh()}`,
    'oci-archive': `oci-archive:${fresh()}:v1`,
    'oci-archive without a tag': `oci-archive:${fresh()}`,
    'docker-archive': `docker-archive:${fresh()}:team/app:1`,
    store: `strata:copied/r${(repositories += 1)}:1`,
  }
}

describe('copy() keeps digests', () => {
  test('of an index with all its images to every place and on to a registry; skopeo agrees', async () => {
    for (const [title, place] of Object.entries(newPlaces())) {
      assert.equal(await copy(remote('multi'), place, { platforms: 'all', preserveDigests: true }), index.digest, title)
      // skopeo has a docker-archive's manifest of its own making, and does not know this store.
      if (!place.startsWith('docker-archive:') && !place.startsWith('strata:')) assert.equal(await digestAt(place), index.digest, title)
      const onward = newRepository(second)
      assert.equal(await copy(place, onward, { platforms: 'all', preserveDigests: true }), index.digest, title)
      assert.equal(await digestAt(onward), index.digest, title)
      // skopeo reads every blob of every platform, and verifies it.
      await skopeo(...SKOPEO_COPY, '--all', onward, `dir:${fresh()}`)
    }
  })

  test("of this machine's platform, of one that is asked for, and of an image that is no index", async () => {
    for (const [title, place] of Object.entries(newPlaces()))
      assert.equal(await copy(remote('multi'), place, { preserveDigests: true }), amd64.digest, title)
    assert.equal(await copy(remote('multi'), `dir:${fresh()}`, { platforms: ['linux/arm64'] }), arm64.digest)
    assert.equal(await copy(remote('arm64'), `dir:${fresh()}`), arm64.digest)
    assert.equal(await copy(remote('arm64'), `dir:${fresh()}`, { platforms: ['arm64'] }), arm64.digest)
    assert.equal(await copy(remote('multi'), `dir:${fresh()}`, { platforms: ['linux/amd64', 'linux/arm64'] }), index.digest)
  })

  test('of an artifact, and refuses to put one into a docker-archive', async () => {
    for (const [title, place] of Object.entries(newPlaces())) {
      if (place.startsWith('docker-archive:')) {
        await assert.rejects(copy(remote('chart'), place), { code: 'STRATA_MANIFEST_NOT_AN_IMAGE' })
        assert.ok(!existsSync(place.split(':')[1]!))
        continue
      }
      assert.equal(await copy(remote('chart'), place), artifact.digest, title)
      const onward = newRepository(second)
      assert.equal(await copy(place, onward), artifact.digest, title)
      assert.equal(await digestAt(onward), artifact.digest, title)
    }
  })

  test('of what skopeo has copied there', async () => {
    for (const place of [`dir:${fresh()}`, `oci:${fresh()}:tag`, `oci:${fresh()}`, `oci-archive:${fresh()}:tag`]) {
      await skopeo(...SKOPEO_COPY, '--all', remote('multi'), place)
      const found = await digestAt(place)
      assert.equal(await copy(place, newRepository(second), { platforms: 'all' }), found, place)
      assert.equal(await copy(place, `strata:skopeo/r${(repositories += 1)}`, { platforms: 'all' }), found, place)
    }
  })

  test("of an image in Docker's types, which stay as they are", async () => {
    const source = newRepository(first)
    await skopeo(...SKOPEO_COPY, '--format', 'v2s2', remote('arm64'), source)
    const digest = await digestAt(source)
    for (const [title, place] of Object.entries(newPlaces())) {
      const notes: string[] = []
      const onProgress = ({ id, status }: { readonly id: string; readonly status: string }): unknown => id === '' && notes.push(status)
      assert.equal((await engine.copy(source, place, { onProgress })).manifestDigest, digest, title)
      assert.equal(notes.length, place.startsWith('oci') ? 1 : 0, title)
      for (const note of notes) assert.match(note, /keeps Docker's media types/)
      const onward = newRepository(second)
      assert.equal(await copy(place, onward), digest, title)
      await skopeo(...SKOPEO_COPY, onward, `dir:${fresh()}`)
    }
    for (const [format, reference, count] of [
      ['oci-archive', 'types/docker', 1],
      ['docker-archive', 'types/docker', 0],
      ['oci-archive', 'types/oci', 0],
    ] as const) {
      await copy(reference === 'types/oci' ? remote('arm64') : source, `strata:${reference}`)
      const notes: string[] = []
      for await (const _ of await engine.save([reference], { format, onProgress: ({ status }) => notes.push(status) }));
      assert.equal(notes.length, count, `${format} ${reference}`)
    }
  })

  test("of what umoci and skopeo's docker-archive hold: config and layers", async () => {
    const archive = fresh()
    await skopeo(...SKOPEO_COPY, remote('arm64'), `docker-archive:${archive}:x/y:1`)
    const configOf = async (place: string): Promise<string> =>
      digestOf(Buffer.from(await skopeo('inspect', '--config', '--raw', '--tls-verify=false', place)))
    for (const image of ['', ':x/y:1', ':@0']) {
      const place = newRepository(second)
      await copy(`docker-archive:${archive}${image}`, place)
      assert.equal(await configOf(place), await configOf(remote('arm64')), image)
    }
    await assert.rejects(copy(`docker-archive:${archive}:x/y:2`, `dir:${fresh()}`), { code: 'STRATA_NOT_IN_ARCHIVE', hint: /x\/y:1/ })
    await assert.rejects(copy(`docker-archive:${archive}:@1`, `dir:${fresh()}`), { code: 'STRATA_NOT_IN_ARCHIVE' })
  })

  test('of foreign layers that nobody has, which stay where their maker gives them out', async () => {
    const tar = tarOf({ theirs: 'theirs' })
    const source = fresh()
    await mkdir(source)
    const put = (mediaType: string, value: object): Descriptor => {
      const bytes = Buffer.from(JSON.stringify(value))
      writeFileSync(join(source, digestHex(digestOf(bytes))), bytes)
      return describeBytes(mediaType, bytes)
    }
    const config = put(MEDIA_TYPES.config, { architecture: 'amd64', os: 'linux', rootfs: { type: 'layers', diff_ids: [digestOf(tar)] } })
    const layer = { ...describeBytes(MEDIA_TYPES.foreignLayer, tar), urls: ['https://maker.invalid/layer'] }
    const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: MEDIA_TYPES.manifest, config, layers: [layer] }))
    await writeFile(join(source, 'version'), 'Directory Transport Version: 1.1\n')
    await writeFile(join(source, 'manifest.json'), bytes)
    const local = Object.values(newPlaces()).filter(each => !each.startsWith('strata:') && !each.startsWith('docker:'))
    const id = `Copying blob ${digestHex(layer.digest).slice(0, 12)}`
    for (const place of [...local, newRepository(second)]) {
      const told: string[] = []
      const onProgress = (progress: { readonly id: string; readonly status: string }): unknown =>
        progress.id === id && told.push(progress.status)
      // Registries take such manifests only where they are set up for it.
      await engine.copy(`dir:${source}`, place, { onProgress }).catch((error: unknown) => assert.match(place, /^docker:/, String(error)))
      // A registry that refuses the manifest is tried twice.
      assert.deepEqual([...new Set(told)], ['skipped foreign layer'], place)
    }
    for (const place of local) assert.equal(await copy(place, `oci:${fresh()}`), digestOf(bytes), place)
    await assert.rejects(copy(`dir:${source}`, 'strata:foreign:1'), { code: 'STRATA_ARCHIVE_INCOMPLETE', hint: /maker\.invalid/ })
    // Where the bytes are, they go along.
    await writeFile(join(source, digestHex(layer.digest)), tar)
    for (const place of local) assert.equal(await copy(`dir:${source}`, `${place.replace(/:.*/, '')}:${fresh()}`), digestOf(bytes), place)
    assert.equal(await copy(`dir:${source}`, 'strata:foreign:1'), digestOf(bytes))
  })
})

test('a foreign layer that a registry does not have is called so by pull(), copy() and listDirectory()', async () => {
  const crafter = new ImageCrafter(first.address, 'team/foreign')
  const tar = tarOf({ theirs: 'never handed on' })
  const layer = await crafter.blob(MEDIA_TYPES.foreignLayer, tar)
  const image = { architecture: 'amd64', os: 'linux', rootfs: { type: 'layers', diff_ids: [layer.digest] } }
  const config = await crafter.blob(MEDIA_TYPES.config, Buffer.from(JSON.stringify(image)))
  const { digest } = await crafter.manifest('1', { schemaVersion: 2, mediaType: MEDIA_TYPES.manifest, config, layers: [layer] })
  const gone = await fetch(`http://${first.address}/v2/team/foreign/blobs/${layer.digest}`, { method: 'DELETE' })
  assert.equal(gone.status, 202)
  const isForeign = { kind: 'notFound', code: 'STRATA_FOREIGN_LAYER', message: new RegExp(layer.digest), hint: /Whoever made the image/ }
  const name = `${first.address}/team/foreign:1`
  await assert.rejects(engine.pull(name), isForeign)
  await assert.rejects(copy(`docker://${name}`, 'strata:foreign/layer:1'), isForeign)
  await assert.rejects(Array.fromAsync(engine.listDirectory(name, '/')), isForeign)
  assert.equal(await copy(`docker://${name}`, `dir:${fresh()}`), digest)
})

test('what copy() brings into the store is whole, and runs on from there', async () => {
  const store = fresh()
  await using other = await openEngine({ root: store, storageDriver: 'vfs', userConfigDirectory: scratch, systemDirectory: scratch })
  await other.copy(remote('multi'), 'strata:both:1', { platforms: 'all' })
  await other.copy(remote('multi'), 'strata:one:1')
  await other.copy(remote('chart'), 'strata:chart:1')
  await other.copy('strata:both:1', 'strata:again:1', { platforms: 'all' })
  assert.deepEqual((await other.images()).flatMap(({ tags }) => tags).toSorted(), ['again:1', 'both:1', 'one:1'])
  assert.equal((await other.copy('strata:both:1', 'strata:arm:1', { platforms: ['linux/arm64'] })).manifestDigest, arm64.digest)
  assert.equal(
    (await other.copy('strata:both:1', 'strata:two:1', { platforms: ['linux/arm64', 'linux/amd64'] })).manifestDigest,
    index.digest,
  )
  assert.equal((await other.copy('strata:arm:1', `oci:${fresh()}`, { platforms: 'all' })).manifestDigest, arm64.digest)
  assert.equal((await other.copy('strata:one:1', `oci:${fresh()}:x`)).manifestDigest, amd64.digest)
  // Without a wish for platforms a name means its image.
  assert.equal((await other.copy('strata:both:1', `dir:${fresh()}`)).manifestDigest, amd64.digest)
  assert.equal((await other.copy('strata:both:1', `dir:${fresh()}`, { platforms: ['linux/arm64'] })).manifestDigest, arm64.digest)
  assert.equal((await other.copy('strata:again:1', `dir:${fresh()}`, { platforms: 'all' })).manifestDigest, index.digest)
  await other.close()
  assert.deepEqual((await checkStore(store, 'vfs')).faults, [])
})

test('copy() of some platforms makes an index of these, or rejects where digests are to be preserved', async () => {
  const crafter = new ImageCrafter(first.address, 'team/three')
  const s390x = await crafter.image(undefined, [{ tar: tarOf({ s: 's' }), compression: 'gzip' }], { architecture: 's390x' })
  const [amd, arm] = [await crafter.image(undefined, LAYERS), await crafter.image(undefined, [LAYERS[1]], { architecture: 'arm64' })]
  const entries = [
    [amd, 'amd64'],
    [arm, 'arm64'],
    [s390x, 's390x'],
  ] as const
  await crafter.manifest('1', {
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.index,
    manifests: entries.map(([entry, architecture]) => ({ ...entry, platform: { os: 'linux', architecture } })),
  })
  const from = `docker://${first.address}/team/three:1`
  const platforms = ['linux/s390x', 'linux/amd64']
  const directory = fresh()
  const digest = await copy(from, `dir:${directory}`, { platforms })
  const copied = JSON.parse(readFileSync(join(directory, 'manifest.json'), 'utf8')) as ImageIndex
  assert.equal(digestOf(readFileSync(join(directory, 'manifest.json'))), digest)
  assert.deepEqual(
    copied.manifests.map(entry => entry.digest),
    [amd.digest, s390x.digest],
  )
  assert.ok(!existsSync(join(directory, `${digestHex(arm.digest)}.manifest.json`)))
  await skopeo(...SKOPEO_COPY, '--all', `dir:${directory}`, `oci:${fresh()}:x`)
  for (const kind of ['dir', 'oci', 'oci-archive']) {
    const refused = fresh()
    const told: string[] = []
    const options = { platforms, preserveDigests: true, onProgress: ({ id }: { id: string }): unknown => told.push(id) }
    await assert.rejects(engine.copy(from, `${kind}:${refused}`, options), { kind: 'conflict', code: 'STRATA_DIGEST_CHANGES' })
    assert.ok(!existsSync(refused))
    assert.deepEqual(told, [])
  }
  for (const wanted of [['windows/amd64'], ['linux/amd64', 'windows/amd64']])
    await assert.rejects(copy(from, `dir:${fresh()}`, { platforms: wanted }), { code: 'STRATA_NO_SUCH_PLATFORM', hint: /linux\/s390x/ })
  await assert.rejects(copy(remote('arm64'), `dir:${fresh()}`, { platforms: ['linux/s390x'] }), { code: 'STRATA_NO_SUCH_PLATFORM' })
})

test('copy() within one registry mounts blobs: none is read, none is sent', async () => {
  await using proxy = await faultyProxy(first.address)
  let seen = 0
  /** Requests for blobs since it was asked last, by method. */
  const blobsSince = (isWanted: (method: string) => boolean): readonly Exchange[] => {
    const since = proxy.exchanges.slice(seen)
    seen = proxy.exchanges.length
    return since.filter(({ method, path }) => /\/blobs\/(?:sha256|uploads)/.test(path) && isWanted(method))
  }
  const place = (path: string): string => `docker://${proxy.address}/${path}`
  for (const [tag, digest] of [
    ['multi', index.digest],
    ['chart', artifact.digest],
  ] as const) {
    assert.equal(await copy(place(`team/app:${tag}`), place(`mounted/${tag}:1`), { platforms: 'all' }), digest)
    const blobs = blobsSince(method => method !== 'HEAD').filter(({ path }) => !path.includes('mount='))
    assert.deepEqual(blobs, [], tag)
  }
  // From another registry each blob is read once.
  await using other = await openEngine({ root: fresh(), storageDriver: 'vfs', userConfigDirectory: scratch, systemDirectory: scratch })
  await other.copy(place('team/app:multi'), newRepository(second), { platforms: 'all' })
  const read = blobsSince(method => method === 'GET')
  assert.equal(read.length, 6)
  assert.equal(new Set(read.map(({ path }) => path)).size, 6)
  // What was copied to a registry before is known to be in a repository of it: no layer is read again.
  await other.copy(place('team/app:multi'), newRepository(second), { platforms: 'all' })
  assert.equal(blobsSince(method => method === 'GET').length, 2)
})

test('copy() takes along what is said about an image between registries and the store, as pull and push do', async () => {
  const crafter = new ImageCrafter(first.address, 'team/said')
  const config = await crafter.blob(MEDIA_TYPES.empty, Buffer.from('{}'))
  const say = async (subject: Descriptor, text: string): Promise<Descriptor> => {
    const layers = [await crafter.blob('text/plain', Buffer.from(text))]
    const artifactType = 'application/vnd.example.note'
    const manifest = { schemaVersion: 2, mediaType: MEDIA_TYPES.manifest, artifactType, config, layers, subject }
    const referrer = { ...(await crafter.manifest(undefined, manifest)), artifactType }
    // What clients keep where the registry has no API.
    const tag = subject.digest.replace(':', '-')
    await crafter.manifest(tag, { schemaVersion: 2, mediaType: MEDIA_TYPES.index, manifests: [referrer] })
    return referrer
  }
  const image = await crafter.image(undefined, [LAYERS[1]])
  const multi = await crafter.index('1', { amd64: image })
  const onImage = await say(image, 'about the image')
  const onThat = await say(onImage, 'about what is about the image')
  const onIndex = await say(multi, 'about the index')
  const payload = await crafter.blob('application/vnd.dev.cosign.simplesigning.v1+json', Buffer.from('signed'))
  const signature = `${image.digest.replace(':', '-')}.sig`
  await crafter.manifest(signature, { schemaVersion: 2, mediaType: MEDIA_TYPES.manifest, config, layers: [payload] })
  const from = `docker://${first.address}/team/said:1`
  const saidOf = async (reference: string, isRemote: boolean): Promise<readonly string[]> =>
    (await engine.referrers(reference, { remote: isRemote })).map(({ digest, tag }) => tag ?? digest).toSorted()
  const aboutImage = [onImage.digest, onThat.digest, signature].toSorted()
  const aboutAll = [...aboutImage, onIndex.digest].toSorted()
  /** Of the image and, where it is there, of its index. */
  const remotely = async (place: string): Promise<readonly string[]> => {
    const name = place.slice('docker://'.length)
    const found = [...(await saidOf(name, true)), ...(await saidOf(name.replace(/:1$/, `@${image.digest}`), true))]
    return [...new Set(found)].toSorted()
  }

  for (const registry of [first, second]) {
    const [one, all] = [newRepository(registry), newRepository(registry)]
    assert.equal(await copy(from, one), image.digest)
    assert.deepEqual(await remotely(one), aboutImage)
    assert.equal(await copy(from, all, { platforms: 'all' }), multi.digest)
    assert.deepEqual(await remotely(all), aboutAll)
  }
  await copy(from, 'strata:said/one:1')
  assert.deepEqual(await saidOf('said/one:1', false), aboutImage)
  await copy(from, 'strata:said/all:1', { platforms: 'all' })
  assert.deepEqual(await saidOf('said/all:1', false), aboutAll)
  const onward = newRepository(second)
  await copy('strata:said/all:1', onward, { platforms: 'all' })
  assert.deepEqual(await remotely(onward), aboutAll)
  // In files there is nothing of it.
  const layout = fresh()
  await copy(from, `oci:${layout}:x`)
  assert.deepEqual(roots(layout), [[image.digest, 'x']])
  await engine.pruneImages()
  // By now there is also what is said about the index that it was chosen from.
  assert.deepEqual(await saidOf('said/one:1', false), aboutAll)
})

describe('an image layout', () => {
  test('is added to, and umoci reads it', { skip: isRoot ? false : 'umoci unpacks owners only as root' }, async () => {
    const layout = fresh()
    assert.equal(await copy(remote('amd64'), `oci:${layout}:one`), amd64.digest)
    assert.equal(await copy(remote('multi'), `oci:${layout}:two`, { platforms: 'all' }), index.digest)
    assert.equal(await copy(remote('arm64'), `oci:${layout}`), arm64.digest)
    assert.equal(await copy(remote('arm64'), `oci:${layout}`), arm64.digest)
    // The same name again stands for the last one.
    assert.equal(await copy(remote('arm64'), `oci:${layout}:one`), arm64.digest)
    assert.deepEqual(roots(layout), [
      [index.digest, 'two'],
      [arm64.digest, undefined],
      [arm64.digest, 'one'],
    ])
    assert.equal(await copy(`oci:${layout}:@1`, `dir:${fresh()}`), arm64.digest)
    assert.deepEqual((await must('umoci', 'ls', '--layout', layout)).trim().split('\n').toSorted(), ['one', 'two'])
    await must('umoci', 'unpack', '--image', `${layout}:one`, join(layout, '../bundle'))
    assert.equal(readFileSync(join(layout, '../bundle/rootfs/arm'), 'utf8'), 'arm')
    await must('umoci', 'tag', '--image', `${layout}:one`, 'three')
    await must('umoci', 'config', '--image', `${layout}:three`, '--config.cmd', 'hello')
    assert.equal(await copy(`oci:${layout}:three`, newRepository(second)), await digestAt(`oci:${layout}:three`))
    await assert.rejects(copy(`oci:${layout}`, `dir:${fresh()}`), { code: 'STRATA_SEVERAL_IMAGES', hint: /two.*one/ })
    await assert.rejects(copy(`oci:${layout}:four`, `dir:${fresh()}`), { code: 'STRATA_NOT_IN_ARCHIVE', hint: /two/ })
  })

  test('keeps the entries of all who write to it at once', async () => {
    const layout = fresh()
    const tags = Array.from({ length: 12 }, (_, each) => `t${each}`)
    await Promise.all(tags.map(tag => copy(remote(tag.endsWith('1') ? 'amd64' : 'arm64'), `oci:${layout}:${tag}`)))
    assert.deepEqual(
      roots(layout)
        .map(([, name]) => name ?? '')
        .toSorted(),
      tags.toSorted(),
    )
    assert.deepEqual(readdirSync(layout).toSorted(), ['blobs', 'index.json', 'oci-layout'])
  })

  test('gets anew what it has of the right size with other bytes, and nothing else', async () => {
    const layout = fresh()
    await copy(remote('amd64'), `oci:${layout}:one`)
    const path = (digest: string): string => join(layout, 'blobs/sha256', digest.slice('sha256:'.length))
    const manifest = JSON.parse(readFileSync(path(amd64.digest), 'utf8')) as ImageManifest
    const files = [manifest.config, ...manifest.layers].map(({ digest }) => path(digest))
    const whole = files.map(file => readFileSync(file))
    const damaged = [files[0]!, files[1]!]
    for (const file of damaged) {
      const bytes = readFileSync(file)
      bytes[bytes.length >> 1]! ^= 1
      writeFileSync(file, bytes)
    }
    const before = files.map(file => statSync(file).ino)
    await copy(remote('amd64'), `oci:${layout}:two`)
    assert.deepEqual(
      files.map(file => readFileSync(file)),
      whole,
    )
    assert.deepEqual(
      files.map((file, position) => statSync(file).ino === before[position]),
      files.map(file => !damaged.includes(file)),
    )
  })

  test('keeps what other tools wrote into its index.json', async () => {
    const layout = fresh()
    await copy(remote('arm64'), `oci:${layout}:one`)
    const path = join(layout, 'index.json')
    const before = JSON.parse(readFileSync(path, 'utf8')) as { manifests: object[] }
    const strange = { ...before, annotations: { a: 'b' }, manifests: before.manifests.map(entry => ({ ...entry, 'x-unknown': 1 })) }
    writeFileSync(path, JSON.stringify(strange))
    await copy(remote('amd64'), `oci:${layout}:two`)
    const found = JSON.parse(readFileSync(path, 'utf8')) as { annotations: object; manifests: object[] }
    assert.deepEqual(found.annotations, { a: 'b' })
    assert.deepEqual(found.manifests[0], strange.manifests[0])
    assert.equal(found.manifests.length, 2)
  })
})

function roots(layout: string): readonly (readonly [string, string | undefined])[] {
  const { manifests } = JSON.parse(readFileSync(join(layout, 'index.json'), 'utf8')) as ImageIndex
  return manifests.map(({ digest, annotations }) => [digest, annotations?.['org.opencontainers.image.ref.name']])
}

describe('a destination that', () => {
  test('holds something else is refused and stays', async () => {
    const path = fresh()
    mkdirSync(path)
    writeFileSync(join(path, 'mine'), 'mine')
    await assert.rejects(copy(remote('arm64'), `dir:${path}`), { kind: 'conflict', code: 'STRATA_NOT_AN_IMAGE_DIRECTORY' })
    await assert.rejects(copy(remote('arm64'), `oci:${path}`), { kind: 'conflict', code: 'STRATA_NOT_A_LAYOUT' })
    await assert.rejects(copy(remote('arm64'), `oci-archive:${path}`), { code: 'STRATA_EISDIR' })
    await assert.rejects(copy(remote('arm64'), `dir:${join(path, 'mine')}`), { name: 'StrataError' })
    await assert.rejects(copy(remote('arm64'), `oci:${join(path, 'mine')}`), { name: 'StrataError' })
    for (const kind of ['docker-archive', 'oci-archive', 'oci'])
      await assert.rejects(copy(remote('arm64'), `${kind}:${join(path, 'new')}:@0`), { code: 'STRATA_TRANSPORT_INVALID' })
    assert.deepEqual(readdirSync(path), ['mine'])
    assert.equal(readFileSync(join(path, 'mine'), 'utf8'), 'mine')
  })

  test('holds an older copy is replaced at once', async () => {
    const parent = fresh()
    const directory = join(parent, 'directory')
    mkdirSync(directory, { recursive: true })
    await copy(remote('multi'), `dir:${directory}`, { platforms: 'all' })
    await copy(remote('arm64'), `dir:${directory}`)
    assert.equal(await digestAt(`dir:${directory}`), arm64.digest)
    assert.equal(readdirSync(directory).length, 4)
    assert.deepEqual(readdirSync(parent), ['directory'])
  })

  test('is a file that holds something is refused and stays, archive or not; an empty one is taken', async () => {
    for (const kind of ['docker-archive', 'oci-archive']) {
      const [notes, archive, empty] = [fresh(), fresh(), fresh()]
      writeFileSync(notes, 'notes')
      writeFileSync(empty, '')
      await assert.rejects(copy(remote('arm64'), `${kind}:${notes}:a/b:1`), { kind: 'conflict', code: 'STRATA_FILE_EXISTS' })
      assert.equal(readFileSync(notes, 'utf8'), 'notes')
      await copy(remote('amd64'), `${kind}:${archive}:a/b:1`)
      await assert.rejects(copy(remote('arm64'), `${kind}:${archive}:a/b:1`), { code: 'STRATA_FILE_EXISTS' })
      assert.equal(await copy(`${kind}:${archive}:a/b:1`, `dir:${fresh()}`), amd64.digest)
      assert.equal(await copy(remote('arm64'), `${kind}:${empty}:a/b:1`), arm64.digest)
    }
  })

  test('is its own source is refused and stays, however it is spelled', async () => {
    const [directory, layout, archive, link] = [fresh(), fresh(), fresh(), fresh()]
    symlinkSync(directory, link)
    await copy(remote('multi'), `dir:${directory}`, { platforms: 'all' })
    await copy(remote('multi'), `oci:${layout}:a`, { platforms: 'all' })
    await copy(remote('multi'), `oci-archive:${archive}`, { platforms: 'all' })
    for (const [from, to] of [
      [`dir:${directory}`, `dir:${directory}`],
      [`dir:${directory}`, `dir:${directory}/../${basename(directory)}/`],
      [`dir:${directory}`, `dir:${link}`],
      [`dir:${link}`, `dir:${directory}`],
      [`oci:${layout}:a`, `oci:${layout}/.:a`],
      [`oci:${layout}`, `oci:${layout}:a`],
      [`oci-archive:${archive}`, `oci-archive:${archive}`],
      [remote('multi'), remote('multi')],
    ] as const)
      await assert.rejects(copy(from, to), { kind: 'invalidArgument', code: 'STRATA_COPY_ONTO_ITSELF' }, `${from} ${to}`)
    for (const place of [`dir:${directory}`, `oci:${layout}:a`, `oci-archive:${archive}`, remote('multi')])
      assert.equal(await digestAt(place), index.digest, place)
    assert.equal(await copy(`oci:${layout}:a`, `oci:${layout}:b`), amd64.digest)
    assert.deepEqual(roots(layout), [
      [index.digest, 'a'],
      [amd64.digest, 'b'],
    ])
  })

  test('names another digest is refused', async () => {
    await assert.rejects(copy(remote('arm64'), `strata:named@${arm64.digest}`), { code: 'STRATA_NAME_HAS_DIGEST' })
    const place = `docker://${second.address}/digests/app@${arm64.digest}`
    await assert.rejects(copy(remote('amd64'), place), { kind: 'conflict', code: 'STRATA_OTHER_DIGEST' })
    assert.equal(await copy(remote('arm64'), place), arm64.digest)
    assert.equal(await digestAt(place), arm64.digest)
  })
})

describe('a source that is damaged leaves nothing at the destination:', () => {
  let whole: string
  let bad: Readonly<Record<string, string>>
  before(async () => {
    whole = fresh()
    await copy(remote('amd64'), `oci:${whole}:x`)
    const archive = fresh()
    await copy(remote('amd64'), `oci-archive:${archive}:x`)
    const big = blobsOf(whole).toSorted((a, b) => b.size - a.size)[0]!.path
    const damaged = async (change: (layout: string) => void): Promise<string> => {
      const layout = fresh()
      await cp(whole, layout, { recursive: true })
      change(layout)
      return `oci:${layout}:x`
    }
    const directory = fresh()
    await copy(remote('amd64'), `dir:${directory}`)
    rmSync(
      join(
        directory,
        readdirSync(directory).find(name => /^[0-9a-f]{64}$/.test(name))!,
      ),
    )
    const cut = fresh()
    await cp(archive, cut)
    truncateSync(cut, 150_000)
    const registry = await startRegistry()
    await registry[Symbol.asyncDispose]()
    bad = {
      'a blob with another digest': await damaged(layout => {
        const bytes = readFileSync(join(layout, big))
        bytes[1000]! ^= 1
        writeFileSync(join(layout, big), bytes)
      }),
      'a blob that is cut': await damaged(layout => truncateSync(join(layout, big), 1000)),
      'a blob that is too long': await damaged(layout => writeFileSync(join(layout, big), 'more', { flag: 'a' })),
      'a blob that is gone': await damaged(layout => rmSync(join(layout, big))),
      'a manifest that is gone': await damaged(layout => rmSync(join(layout, 'blobs/sha256', digestHex(amd64.digest)))),
      'an index.json that is none': await damaged(layout => writeFileSync(join(layout, 'index.json'), '{"manifests":')),
      'a blob of a directory that is gone': `dir:${directory}`,
      'an archive that is cut': `oci-archive:${cut}:x`,
      'a registry that does not answer': `docker://${registry.address}/team/app:1`,
      'no such tag': remote('nothing'),
      'no such image here': 'strata:nothing',
    }
  })

  function blobsOf(layout: string): readonly { readonly path: string; readonly size: number }[] {
    return readdirSync(join(layout, 'blobs/sha256')).map(name => {
      const path = join('blobs/sha256', name)
      return { path, size: readFileSync(join(layout, path)).length }
    })
  }

  for (const kind of ['dir', 'oci', 'oci-archive', 'docker-archive', 'docker', 'strata'] as const) {
    test(kind, async () => {
      for (const [title, source] of Object.entries(bad)) {
        const parent = fresh()
        await mkdir(parent)
        const name = `damaged/r${(repositories += 1)}`
        const place =
          kind === 'docker' ? `docker://${second.address}/${name}:1` : kind === 'strata' ? `strata:${name}:1` : `${kind}:${parent}/it`
        // What is here need not be read again.
        await using empty = await openEngine({
          root: fresh(),
          storageDriver: 'vfs',
          userConfigDirectory: scratch,
          systemDirectory: scratch,
        })
        await assert.rejects(empty.copy(source, place), { name: 'StrataError' }, title)
        if (kind === 'docker') assert.notEqual((await fetch(`http://${second.address}/v2/${name}/manifests/1`)).status, 200, title)
        else if (kind === 'strata') assert.deepEqual(await empty.images({ all: true }), [], title)
        else if (kind === 'oci') {
          assert.ok(!existsSync(join(parent, 'it/index.json')), title)
          assert.deepEqual(partials(parent), [], title)
        } else assert.deepEqual(readdirSync(parent), [], title)
      }
    })
  }

  test('nor of an entry in a layout that has others', async () => {
    const layout = fresh()
    await copy(remote('arm64'), `oci:${layout}:good`)
    const before = readFileSync(join(layout, 'index.json'), 'utf8')
    await assert.rejects(copy(bad['a blob with another digest']!, `oci:${layout}:bad`), {
      code: 'STRATA_DIGEST_MISMATCH',
      message: /directory ".*" *.*is not what its digest says/,
    })
    assert.equal(readFileSync(join(layout, 'index.json'), 'utf8'), before)
    // What was whole is used by the next try.
    assert.equal(await copy(`oci:${whole}:x`, `oci:${layout}:bad`), amd64.digest)
  })
})

const partials = (directory: string): readonly string[] =>
  readdirSync(directory, { recursive: true, encoding: 'utf8' }).filter(name => name.includes('.partial-'))

test('a copy that is killed is nowhere to be seen; a layout keeps what had come whole, and the next copy leaves nothing of it', async () => {
  await using slow = await faultyProxy(first.address, { bytesPerSecond: 150_000 })
  for (const kind of ['dir', 'oci', 'oci-archive']) {
    const parent = fresh()
    await mkdir(parent)
    const args = ['--root', fresh(), 'copy', `docker://${slow.address}/team/app:amd64`, `${kind}:${parent}/it`]
    const child = spawn(STRATA, args, { stdio: 'ignore' })
    // A large layer is under way, which takes more than half a second.
    const isLarge = (name: string): boolean => (statSync(join(parent, name), { throwIfNoEntry: false })?.size ?? 0) > 10_000
    while (!partials(parent).some(isLarge) && child.exitCode === null) await new Promise(resolve => setTimeout(resolve, 5))
    child.kill('SIGKILL')
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
    assert.notDeepEqual(partials(parent), [], kind)
    const seen = readdirSync(parent).filter(name => !name.startsWith('.'))
    if (kind === 'oci') assert.ok(!existsSync(join(parent, 'it/index.json')) && existsSync(join(parent, 'it/blobs')), kind)
    else
      assert.deepEqual(
        seen.filter(name => !name.includes('partial')),
        [],
        kind,
      )
    assert.equal(await copy(remote('amd64'), `${kind}:${parent}/it`), amd64.digest)
    assert.equal(await digestAt(`${kind}:${parent}/it`), amd64.digest)
    assert.deepEqual(partials(parent), [], kind)
  }
})

test('hostile #51 #54 #55: documents of a directory that are two things, name paths, or never end are refused', async () => {
  const manifests: Readonly<Record<string, unknown>> = {
    'two things': { schemaVersion: 2, mediaType: MEDIA_TYPES.manifest, config: amd64, layers: [], manifests: [] },
    'a digest that is a path': {
      schemaVersion: 2,
      mediaType: MEDIA_TYPES.manifest,
      config: { ...amd64, digest: 'sha256:../../etc/passwd' },
      layers: [],
    },
    'schema 1': { schemaVersion: 1, name: 'x', fsLayers: [] },
    'too many entries': { schemaVersion: 2, mediaType: MEDIA_TYPES.index, manifests: Array.from({ length: 10_001 }, () => amd64) },
    'a text': 'x',
  }
  for (const [title, document] of Object.entries(manifests)) {
    const [source, target] = [fresh(), fresh()]
    await mkdir(source)
    await writeFile(join(source, 'version'), 'Directory Transport Version: 1.1\n')
    await writeFile(join(source, 'manifest.json'), JSON.stringify(document))
    await assert.rejects(copy(`dir:${source}`, `dir:${target}`), { name: 'StrataError' }, title)
    assert.ok(!existsSync(target))
  }
})

test('copy() asks the policy about what it takes, and from whom', async () => {
  const config = fresh()
  await mkdir(join(config, 'containers'), { recursive: true })
  const layout = fresh()
  await copy(remote('arm64'), `oci:${layout}:x`)
  const under = async (policy: object, source: string): Promise<boolean> => {
    await writeFile(join(config, 'containers/policy.json'), JSON.stringify(policy))
    await using strict = await openEngine({ root: fresh(), userConfigDirectory: config, systemDirectory: config })
    try {
      await strict.copy(source, `dir:${fresh()}`)
      return true
    } catch (error) {
      assert.ok(isStrataError(error))
      assert.equal(error.code, 'STRATA_POLICY_REJECTED')
      assert.match(error.message, /^Cannot use image "[^"]+": the policy /)
      return false
    }
  }
  const [reject, accept] = [[{ type: 'reject' }], [{ type: 'insecureAcceptAnything' }]]
  assert.equal(await under({ default: reject }, remote('arm64')), false)
  assert.equal(await under({ default: reject, transports: { docker: { [first.address]: accept } } }, remote('arm64')), true)
  assert.equal(await under({ default: reject }, `oci:${layout}:x`), false)
  assert.equal(await under({ default: reject, transports: { oci: { [layout]: accept } } }, `oci:${layout}:x`), true)
  assert.equal(await under({ default: accept, transports: { oci: { '': reject } } }, `oci:${layout}:x`), false)
})

test('copy() tells of each blob, and whether it was there', async () => {
  const layout = fresh()
  const told = async (): Promise<readonly string[]> => {
    const lines: string[] = []
    await engine.copy(remote('arm64'), `oci:${layout}:x`, {
      onProgress: ({ id, status, current }) => {
        if (current === undefined) lines.push(`${id}: ${status}`)
      },
    })
    return lines.toSorted()
  }
  const lines = await told()
  assert.match(lines[0]!, /^Copying blob [0-9a-f]{12}: done$/)
  assert.match(lines[1]!, /^Copying config [0-9a-f]{12}: done$/)
  assert.equal(lines.length, 2)
  assert.deepEqual(
    await told(),
    lines.map(line => line.replace('done', 'already exists')),
  )
})

test('copy() tells of each blob once where it is read twice or later, as for archives', async () => {
  for (const kind of ['oci-archive', 'docker-archive']) {
    const lines: string[] = []
    await engine.copy(remote('amd64'), `${kind}:${fresh()}:a/b:1`, {
      onProgress: ({ id, status, current }) => {
        if (current === undefined) lines.push(`${id.replace(/ [0-9a-f]{12}$/, '')}: ${status}`)
      },
    })
    assert.deepEqual(lines.toSorted(), ['Copying blob: done', 'Copying blob: done', 'Copying blob: done', 'Copying config: done'], kind)
  }
})

test('copy() stops when it is told to, and leaves nothing', async () => {
  const parent = fresh()
  await mkdir(parent)
  const stop = new AbortController()
  await assert.rejects(
    engine.copy(remote('amd64'), `dir:${parent}/it`, { signal: stop.signal, onProgress: () => stop.abort() }),
    (error: Error) => error.name === 'AbortError' || (error as { kind?: string }).kind === 'cancelled',
  )
  assert.deepEqual(readdirSync(parent), [])
})
