import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { type ArchivedRoot, type ArchiveSource, isWholeIndex, openImages, rootsToLoad } from '../../src/archive/index.ts'
import { readAtMost } from '../../src/base/index.ts'
import {
  blobPath,
  type Descriptor,
  describeBytes,
  digestOf,
  familiarName,
  LIMITS,
  MEDIA_TYPES,
  type Platform,
} from '../../src/oci/index.ts'
import { tarOf } from '../support/tars.ts'

const scratch = mkdtempSync(join(tmpdir(), 'strata-oci-archive-'))
after(() => rmSync(scratch, { recursive: true, force: true }))

const AMD64: Platform = { os: 'linux', architecture: 'amd64' }
const ARM64: Platform = { os: 'linux', architecture: 'arm64' }
const NAME = 'docker.io/team/app:1'

/** An OCI layout in the making: what is put in is a blob of it. */
class Layout {
  readonly #files: Record<string, Buffer> = {}

  put(mediaType: string, bytes: Buffer, more: Partial<Descriptor> = {}): Descriptor {
    const target = describeBytes(mediaType, bytes)
    this.#files[blobPath(target.digest)] = bytes
    return { ...target, ...more }
  }

  json(mediaType: string, value: object, more: Partial<Descriptor> = {}): Descriptor {
    return this.put(mediaType, Buffer.from(JSON.stringify(value)), more)
  }

  image(architecture: string, more: Partial<Descriptor> = {}, layerType: string = MEDIA_TYPES.layer): Descriptor {
    const tar = tarOf({ file: architecture })
    const layer = this.put(layerType, tar, layerType === MEDIA_TYPES.layer ? {} : { urls: ['https://maker.example/layer'] })
    const config = this.json(MEDIA_TYPES.config, { architecture, os: 'linux', rootfs: { type: 'layers', diff_ids: [digestOf(tar)] } })
    return this.json(MEDIA_TYPES.manifest, { schemaVersion: 2, mediaType: MEDIA_TYPES.manifest, config, layers: [layer] }, more)
  }

  /** What BuildKit says of an image. */
  attestation(of: Descriptor): Descriptor {
    const statement = this.put('application/vnd.in-toto+json', Buffer.from('{}'))
    const config = this.json(MEDIA_TYPES.config, {
      architecture: 'unknown',
      os: 'unknown',
      rootfs: { type: 'layers', diff_ids: [statement.digest] },
    })
    const manifest = { schemaVersion: 2, mediaType: MEDIA_TYPES.manifest, config, layers: [statement] }
    const annotations = { 'vnd.docker.reference.digest': of.digest, 'vnd.docker.reference.type': 'attestation-manifest' }
    return this.json(MEDIA_TYPES.manifest, manifest, { platform: { os: 'unknown', architecture: 'unknown' }, annotations })
  }

  index(manifests: readonly Descriptor[], more: Partial<Descriptor> = {}): Descriptor {
    return this.json(MEDIA_TYPES.index, { schemaVersion: 2, mediaType: MEDIA_TYPES.index, manifests }, more)
  }

  drop(path: string): void {
    delete this.#files[path]
  }

  /** Opens the layout as an archive whose index.json has these roots. */
  async open(roots: readonly Descriptor[], more: Record<string, Buffer> = {}): Promise<ArchiveSource> {
    const path = join(scratch, 'archive.tar')
    const files = {
      'oci-layout': Buffer.from('{"imageLayoutVersion":"1.0.0"}'),
      'index.json': Buffer.from(JSON.stringify({ schemaVersion: 2, manifests: roots })),
    }
    writeFileSync(path, tarOf({ ...files, ...this.#files, ...more }))
    return openImages(path, scratch)
  }
}

const named = (name: string): Partial<Descriptor> => ({ annotations: { 'io.containerd.image.name': name } })

/** What is to be loaded: digests and names. */
async function seen(layout: Layout, roots: readonly Descriptor[], platform = AMD64, more = {}): Promise<readonly (readonly string[])[]> {
  await using archive = await layout.open(roots, more)
  return rootsToLoad(archive, platform).map(({ descriptor, names }: ArchivedRoot) => [descriptor.digest, ...names.map(familiarName)])
}

test('isWholeIndex() tells an index of several images that are all there', async () => {
  const layout = new Layout()
  const [amd64, arm64] = [layout.image('amd64', { platform: AMD64 }), layout.image('arm64', { platform: ARM64 })]
  const root = layout.index([amd64, arm64, layout.attestation(amd64), layout.attestation(arm64)], named(NAME))
  const alone = layout.index([amd64])
  {
    await using archive = await layout.open([root, alone])
    assert.equal(await isWholeIndex(archive, root, {}), true)
    assert.equal(await isWholeIndex(archive, alone, {}), false)
    assert.equal(await isWholeIndex(archive, amd64, {}), false)
  }
  layout.drop(blobPath(digestOf(tarOf({ file: 'arm64' }))))
  await using archive = await layout.open([root])
  assert.equal(await isWholeIndex(archive, root, {}), false)
})

test('hostile #55: an index that names one index again and again is read once for each', async () => {
  const layout = new Layout()
  let root = layout.image('amd64')
  for (let level = 0; level < 3; level += 1) root = layout.index(Array.from({ length: 5_000 }, () => root))
  await using archive = await layout.open([root])
  const before = performance.now()
  assert.equal(await isWholeIndex(archive, root, {}), false)
  assert.ok(performance.now() - before < 5_000)
})

test('rootsToLoad() takes the wanted one of platforms that stand side by side in index.json, and no attestation', async () => {
  const layout = new Layout()
  for (const [name, familiar] of [
    [named(NAME), ['team/app:1']],
    [{}, []],
  ] as const) {
    const amd64 = layout.image('amd64', { platform: AMD64, ...name })
    const arm64 = layout.image('arm64', { platform: ARM64, ...name })
    const roots = [amd64, arm64, layout.attestation(amd64), layout.attestation(arm64)]
    assert.deepEqual(await seen(layout, roots), [[amd64.digest, ...familiar]])
    assert.deepEqual(await seen(layout, roots, ARM64), [[arm64.digest, ...familiar]])
    assert.deepEqual(await seen(layout, roots, { os: 'linux', architecture: 's390x' }), [])
  }
})

test('rootsToLoad() takes an image for another machine when its name has only that, and all names of one', async () => {
  const layout = new Layout()
  const roots = [
    layout.image('arm64', { platform: ARM64, ...named(NAME) }),
    layout.image('amd64', { platform: AMD64, ...named('docker.io/team/other:1') }),
    layout.image('amd64', { platform: AMD64, ...named('docker.io/team/other:2') }),
  ]
  assert.deepEqual(await seen(layout, roots), [
    [roots[0]!.digest, 'team/app:1'],
    [roots[1]!.digest, 'team/other:1'],
    [roots[1]!.digest, 'team/other:2'],
  ])
})

test("openImages() takes the names of docker's list where index.json has none, also for an index", async () => {
  const layout = new Layout()
  const root = layout.image('amd64')
  await using archive = await layout.open([root])
  const manifest = JSON.parse((await readAtMost(await archive.open(root), 1e6)).toString()) as { config: Descriptor }
  const list = [{ Config: blobPath(manifest.config.digest), RepoTags: ['team/app:1', 'team/app:2'], Layers: [] }]
  const more = { 'manifest.json': Buffer.from(JSON.stringify(list)) }
  assert.deepEqual(await seen(layout, [root], AMD64, more), [[root.digest, 'team/app:1', 'team/app:2']])
  assert.deepEqual(await seen(layout, [{ ...root, ...named('x:y') }], AMD64, more), [[root.digest, 'x:y']])
  const index = layout.index([root])
  assert.deepEqual(await seen(layout, [index], AMD64, more), [[index.digest, 'team/app:1', 'team/app:2']])
})

test('a name in index.json loses its digest, and is none without a tag', async () => {
  const layout = new Layout()
  const root = layout.image('amd64')
  const digest = 'sha256:' + 'a'.repeat(64)
  assert.deepEqual(await seen(layout, [{ ...root, ...named(`team/app:1@${digest}`) }]), [[root.digest, 'team/app:1']])
  assert.deepEqual(await seen(layout, [{ ...root, ...named(`team/app@${digest}`) }]), [[root.digest]])
  assert.deepEqual(await seen(layout, [{ ...root, ...named('UPPER CASE') }]), [[root.digest]])
})

test('openImages() says where a layer that may not be handed on is to be had', async () => {
  const layout = new Layout()
  const foreign = layout.image('amd64', {}, MEDIA_TYPES.foreignLayer)
  const layer = {
    mediaType: MEDIA_TYPES.foreignLayer,
    digest: digestOf(tarOf({ file: 'amd64' })),
    size: 2048,
    urls: ['https://maker.example/layer'],
  }
  {
    await using archive = await layout.open([foreign])
    assert.ok(archive.has(layer))
  }
  layout.drop(blobPath(layer.digest))
  await using archive = await layout.open([foreign])
  await assert.rejects(archive.open(layer), { code: 'STRATA_ARCHIVE_INCOMPLETE', hint: /https:\/\/maker\.example\/layer/ })
})

test('openImages() refuses what holds no images, and forgets nothing open', async () => {
  for (const [name, files] of Object.entries({
    'empty.tar': {},
    'odd.tar': { 'manifest.json': Buffer.from('{}'), version: Buffer.from('1') },
    'version.tar': { 'oci-layout': Buffer.from('{"imageLayoutVersion":"9"}'), 'index.json': Buffer.from('{}') },
  })) {
    writeFileSync(join(scratch, name), tarOf(files))
    const before = readdirSync('/proc/self/fd').length
    await assert.rejects(openImages(join(scratch, name), scratch), { name: 'StrataError' }, name)
    await assert.rejects(openImages(gzipped(join(scratch, name)), scratch), { name: 'StrataError' }, name)
    assert.ok(readdirSync('/proc/self/fd').length <= before, name)
  }
  mkdirSync(join(scratch, 'nothing'))
  await assert.rejects(openImages(join(scratch, 'nothing'), scratch), { code: 'STRATA_ARCHIVE_INVALID' })
})

function gzipped(path: string): string {
  writeFileSync(`${path}.gz`, gzipSync(readFileSync(path)))
  return `${path}.gz`
}

test('hostile #55: what an archive of many roots makes all walks together read is bounded', async () => {
  const layout = new Layout()
  const image = layout.image('amd64')
  await using archive = await layout.open([image])
  const largest = { ...image, size: LIMITS.manifestBytes }
  const most = (8 * LIMITS.graphBytes) / LIMITS.manifestBytes
  for (let n = 0; n < most; n += 1) await archive.open(largest)
  await assert.rejects(archive.open(largest), { kind: 'resourceExhausted', code: 'STRATA_TOO_LARGE' })
})

test('openImages() stops when it is called off, also while a stream does not go on', async () => {
  const controller = new AbortController()
  const stalled = (async function* (): AsyncGenerator<Uint8Array> {
    yield tarOf({ file: 'x' }).subarray(0, 512)
    setTimeout(() => controller.abort(new Error('enough')), 20)
    await new Promise(resolve => setTimeout(resolve, 60_000).unref())
  })()
  await assert.rejects(openImages(stalled, scratch, { signal: controller.signal }), { message: 'enough' })
})
