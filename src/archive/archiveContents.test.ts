import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { gunzipSync, zstdDecompressSync } from 'node:zlib'
import { type ByteStream, readAtMost, streamOf } from '../base/index.ts'
import type { BlobSource } from '../content/index.ts'
import {
  type Descriptor,
  describeBytes,
  digestOf,
  type ImageManifest,
  type LayerCompression,
  MEDIA_TYPES,
  parseManifest,
  parseReference,
  type Reference,
} from '../oci/index.ts'
import { TarParser } from '../tar/index.ts'
import { copyGraph } from '../transfer/index.ts'
import { ArchiveContents, openImages, SinceMark } from './index.ts'

const scratch = mkdtempSync(join(tmpdir(), 'strata-write-archive-'))
after(() => rmSync(scratch, { recursive: true, force: true }))

const PLATFORM = { os: 'linux', architecture: 'amd64' }
const blobs = new Map<string, Buffer>()

function blob(mediaType: string, bytes: Buffer): Descriptor {
  const descriptor = describeBytes(mediaType, bytes)
  blobs.set(descriptor.digest, bytes)
  return descriptor
}

const opened: string[] = []
const source = {
  async open({ digest }: Descriptor): Promise<ByteStream> {
    opened.push(digest)
    const bytes = blobs.get(digest)!
    return streamOf(bytes.subarray(0, 3), bytes.subarray(3))
  },
}

interface Image {
  readonly names: readonly Reference[]
  readonly descriptor: Descriptor
  readonly manifest: ImageManifest
  readonly diffIds: readonly string[]
}

function image(names: readonly string[], layerTexts: readonly string[]): Image {
  const layers = layerTexts.map(text => Buffer.from(text))
  const diffIds = layers.map(bytes => digestOf(bytes))
  const config = blob(
    MEDIA_TYPES.config,
    Buffer.from(JSON.stringify({ architecture: 'amd64', os: 'linux', rootfs: { type: 'layers', diff_ids: diffIds } })),
  )
  const described = layers.map(bytes => blob(MEDIA_TYPES.layer, bytes))
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: MEDIA_TYPES.manifest, config, layers: described }))
  const descriptor = blob(MEDIA_TYPES.manifest, bytes)
  return { names: names.map(parseReference), descriptor, manifest: parseManifest(bytes, MEDIA_TYPES.manifest), diffIds }
}

const A = image(['app:1', 'app:2'], ['shared layer', 'top of a'])
const B = image(['127.0.0.1:5000/team/b:x'], ['shared layer', 'top of b'])
const NAMELESS = image([], ['alone'])

interface Written {
  readonly compression?: LayerCompression
  readonly since?: SinceMark
  readonly from?: BlobSource
}

async function written(
  images: readonly Pick<Image, 'names' | 'descriptor'>[],
  format: 'docker-archive' | 'oci-archive',
  { compression = 'none', since, from = source }: Written = {},
): Promise<Buffer> {
  await using contents = new ArchiveContents({ compression, scratch, ...(since === undefined ? {} : { since }) })
  for (const { descriptor, names } of images) contents.add(await copyGraph(from, contents, descriptor), { names })
  opened.length = 0
  return Buffer.concat(await Array.fromAsync(contents.bytes(format, PLATFORM)))
}

/** The members of a tar, by name. */
function members(tar: Buffer): ReadonlyMap<string, string> {
  const found = new Map<string, string>()
  let current = ''
  const parser = new TarParser({
    entry: entry => {
      assert.equal(found.has(entry.path), false, `${entry.path} is there once`)
      current = entry.path
      found.set(current, '')
    },
    data: chunk => found.set(current, found.get(current)! + Buffer.from(chunk).toString()),
  })
  parser.write(tar)
  parser.end()
  return found
}

const json = (found: ReadonlyMap<string, string>, name: string): unknown => JSON.parse(found.get(name)!)

test('ArchiveContents put every blob in once, by its digest, and all that the images name', async () => {
  const found = members(await written([A, B, NAMELESS], 'oci-archive'))
  const layers = opened.filter(digest => blobs.get(digest)!.toString().includes('layer'))
  assert.equal(new Set(layers).size, layers.length)
  assert.deepEqual(
    [...found.keys()],
    ['blobs/', 'blobs/sha256/', ...[...blobs.keys()].sort().map(digest => `blobs/sha256/${digest.slice(7)}`), 'index.json', 'oci-layout'],
  )
  for (const [digest, bytes] of blobs) assert.equal(found.get(`blobs/sha256/${digest.slice(7)}`), bytes.toString())
  assert.deepEqual(json(found, 'oci-layout'), { imageLayoutVersion: '1.0.0' })
})

test('ArchiveContents write the same bytes for the same images, whatever their order in a blob list', async () => {
  assert.ok((await written([A, B], 'docker-archive')).equals(await written([A, B], 'docker-archive')))
})

test("ArchiveContents name images in index.json, and in docker's own files where they are asked for", async () => {
  const oci = members(await written([A, NAMELESS], 'oci-archive'))
  assert.equal(oci.has('manifest.json') || oci.has('repositories'), false)
  assert.deepEqual(json(oci, 'index.json'), {
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.index,
    manifests: [
      ...['1', '2'].map(tag => ({
        ...A.descriptor,
        annotations: { 'io.containerd.image.name': `docker.io/library/app:${tag}`, 'org.opencontainers.image.ref.name': tag },
      })),
      NAMELESS.descriptor,
    ],
  })
  const docker = members(await written([A, B, NAMELESS], 'docker-archive'))
  const path = (digest: string): string => `blobs/sha256/${digest.slice(7)}`
  const items = json(docker, 'manifest.json') as readonly Record<string, unknown>[]
  assert.deepEqual(
    items.map(({ RepoTags }) => RepoTags),
    [['app:1', 'app:2'], ['127.0.0.1:5000/team/b:x'], null],
  )
  assert.equal(items[0]!['Config'], path(A.manifest.config.digest))
  assert.deepEqual(
    items[0]!['Layers'],
    A.manifest.layers.map(({ digest }) => path(digest)),
  )
  assert.deepEqual(Object.keys(items[0]!['LayerSources'] as object), A.diffIds)
  const top = (each: Image): string => each.manifest.layers.at(-1)!.digest.slice(7)
  assert.deepEqual(json(docker, 'repositories'), { app: { '1': top(A), '2': top(A) }, '127.0.0.1:5000/team/b': { x: top(B) } })
})

test('what ArchiveContents write, openImages() reads: names, manifests, and where each layer lies', async () => {
  for (const format of ['docker-archive', 'oci-archive'] as const) {
    const path = join(scratch, `${format}.tar`)
    writeFileSync(path, await written([A, B, NAMELESS], format))
    await using archive = await openImages(path, scratch)
    assert.equal(archive.form, 'oci-archive')
    assert.deepEqual(
      archive.roots.map(({ descriptor, names }) => [descriptor.digest, ...names.map(name => `${name.path}:${name.tag}`)]),
      [
        [A.descriptor.digest, 'library/app:1'],
        [A.descriptor.digest, 'library/app:2'],
        [B.descriptor.digest, 'team/b:x'],
        [NAMELESS.descriptor.digest],
      ],
    )
    assert.deepEqual(
      archive.roots.map(({ position }) => position),
      format === 'docker-archive' ? [0, 0, 1, 2] : [0, 1, 2, 3],
    )
    for (const layer of [...A.manifest.layers, ...B.manifest.layers, ...NAMELESS.manifest.layers]) {
      const { path: file, start, end } = archive.rangeOf(layer)!
      assert.equal(digestOf(readFileSync(file).subarray(start, end)), layer.digest)
      const tail = await readAtMost(await archive.open(layer, { start: 2 }), 1e6)
      assert.equal(tail.toString(), blobs.get(layer.digest)!.subarray(2).toString())
    }
  }
})

test('ArchiveContents reject with what a blob rejects with, and ask for no other then', async () => {
  const broken: BlobSource = {
    open: async target =>
      target.mediaType !== MEDIA_TYPES.layer
        ? source.open(target)
        : (async function* () {
            yield Buffer.from('half')
            throw new Error('lost')
          })(),
  }
  for (const compression of ['none', 'gzip'] as const)
    await assert.rejects(written([A], 'oci-archive', { from: broken, compression }), { message: 'lost' })
})

test('ArchiveContents compress what is plain, once, and name it so all the way up; what is compressed stays', async () => {
  for (const [compression, mediaType, inflate] of [
    ['gzip', MEDIA_TYPES.layerGzip, gunzipSync],
    ['zstd', MEDIA_TYPES.layerZstd, zstdDecompressSync],
  ] as const) {
    const bytes = await written([A, B], 'docker-archive', { compression })
    assert.ok(bytes.equals(await written([A, B], 'docker-archive', { compression })), 'the same bytes again')
    const path = join(scratch, 'packed.tar')
    writeFileSync(path, bytes)
    await using archive = await openImages(path, scratch)
    const manifests = []
    for (const { descriptor } of archive.roots)
      manifests.push(parseManifest(await readAtMost(await archive.open(descriptor), 1e6), MEDIA_TYPES.manifest))
    const [a, b] = [manifests[0]!, manifests[2]!]
    assert.equal(a.config.digest, A.manifest.config.digest)
    assert.equal(a.layers[0]!.digest, b.layers[0]!.digest)
    for (const [position, layer] of a.layers.entries()) {
      assert.equal(layer.mediaType, mediaType)
      const packed = await readAtMost(await archive.open(layer), 1e6)
      assert.equal(inflate(packed).toString(), blobs.get(A.diffIds[position]!)!.toString())
    }
    // A second time nothing is left to compress.
    await using again = new ArchiveContents({ compression: 'gzip', scratch })
    const copied = await copyGraph(archive, again, archive.roots[0]!.descriptor)
    assert.equal(copied.descriptor.digest, archive.roots[0]!.descriptor.digest)
  }
})

test('an index goes in whole; docker’s own files have the image for the platform, or the first', async () => {
  const index = (manifests: readonly Descriptor[]): Descriptor =>
    blob(MEDIA_TYPES.index, Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: MEDIA_TYPES.index, manifests })))
  const [arm64, amd64] = [
    { ...A.descriptor, platform: { os: 'linux', architecture: 'arm64' } },
    { ...B.descriptor, platform: PLATFORM },
  ]
  for (const [entries, top] of [
    [[arm64, amd64], B],
    [[arm64], A],
  ] as const) {
    const root = index(entries)
    const found = members(await written([{ names: [parseReference('multi:1')], descriptor: root }], 'docker-archive'))
    assert.deepEqual((json(found, 'index.json') as { manifests: readonly Descriptor[] }).manifests[0]!.digest, root.digest)
    for (const { digest } of entries) assert.ok(found.has(`blobs/sha256/${digest.slice(7)}`))
    const items = json(found, 'manifest.json') as readonly { readonly Config: string; readonly RepoTags: readonly string[] }[]
    assert.deepEqual(
      items.map(({ Config, RepoTags }) => [Config, RepoTags]),
      [[`blobs/sha256/${top.manifest.config.digest.slice(7)}`, ['multi:1']]],
    )
  }
})

test('an artifact goes into an oci-archive, and into no docker-archive', async () => {
  const config = blob(MEDIA_TYPES.empty, Buffer.from('{}'))
  const manifest = {
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.manifest,
    artifactType: 'a/b',
    config,
    layers: [blob('text/plain', Buffer.from('hi'))],
  }
  const root = { names: [parseReference('art:1')], descriptor: blob(MEDIA_TYPES.manifest, Buffer.from(JSON.stringify(manifest))) }
  assert.ok(members(await written([root], 'oci-archive')).has(`blobs/sha256/${root.descriptor.digest.slice(7)}`))
  await assert.rejects(written([root], 'docker-archive'), { code: 'STRATA_MANIFEST_NOT_AN_IMAGE' })
})

test('what is left out for who has a base is marked, and missed by its name', async () => {
  const [base, top] = A.manifest.layers
  const since = new SinceMark({ digest: B.descriptor.digest, name: 'b:x', absent: new Set([base!.digest]) })
  const path = join(scratch, 'since.tar')
  writeFileSync(path, await written([A], 'docker-archive', { since }))
  await using archive = await openImages(path, scratch)
  assert.deepEqual(archive.since, since)
  assert.equal(archive.has(base!), false)
  assert.equal(archive.has(top!), true)
  await assert.rejects(archive.open(base!), { code: 'STRATA_BASE_MISSING', message: /only what was new since "b:x" \(sha256:/ })
})
