import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { type ByteStream, streamOf } from '../base/index.ts'
import { type Descriptor, describeBytes, digestOf, MEDIA_TYPES, parseDiffId, parseManifest, parseReference } from '../oci/index.ts'
import { TarParser } from '../tar/index.ts'
import { type ImageToSave, plainArchive, readArchive, writeArchive } from './index.ts'

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

function image(names: readonly string[], layerTexts: readonly string[]): ImageToSave {
  const layers = layerTexts.map(text => Buffer.from(text))
  const diffIds = layers.map(bytes => parseDiffId(digestOf(bytes)))
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

async function written(images: readonly ImageToSave[], format: 'docker' | 'oci'): Promise<Buffer> {
  opened.length = 0
  return Buffer.concat(await Array.fromAsync(writeArchive(images, source, format)))
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

test('writeArchive() puts every blob in once, by its digest, and all that the images name', async () => {
  const found = members(await written([A, B, NAMELESS], 'oci'))
  assert.equal(new Set(opened).size, opened.length)
  assert.deepEqual(
    [...found.keys()],
    ['blobs/', 'blobs/sha256/', ...[...blobs.keys()].sort().map(digest => `blobs/sha256/${digest.slice(7)}`), 'index.json', 'oci-layout'],
  )
  for (const [digest, bytes] of blobs) assert.equal(found.get(`blobs/sha256/${digest.slice(7)}`), bytes.toString())
  assert.deepEqual(json(found, 'oci-layout'), { imageLayoutVersion: '1.0.0' })
})

test('writeArchive() writes the same bytes for the same images, whatever their order in a blob list', async () => {
  assert.ok((await written([A, B], 'docker')).equals(await written([A, B], 'docker')))
})

test("writeArchive() names images in index.json, and in docker's own files where they are asked for", async () => {
  const oci = members(await written([A, NAMELESS], 'oci'))
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
  const docker = members(await written([A, B, NAMELESS], 'docker'))
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
  const top = (each: ImageToSave): string => each.manifest.layers.at(-1)!.digest.slice(7)
  assert.deepEqual(json(docker, 'repositories'), { app: { '1': top(A), '2': top(A) }, '127.0.0.1:5000/team/b': { x: top(B) } })
})

test('what writeArchive() writes, readArchive() reads: names, manifests, and where each layer lies', async () => {
  for (const format of ['docker', 'oci'] as const) {
    const path = join(scratch, `${format}.tar`)
    writeFileSync(path, await written([A, B, NAMELESS], format))
    await using plain = await plainArchive(path, scratch)
    const images = await readArchive(plain, PLATFORM)
    const byConfig = new Map<string, string[]>()
    for (const { names, config, manifest, layers } of images) {
      const key = JSON.stringify(config.rootfs.diff_ids)
      byConfig.set(key, [...(byConfig.get(key) ?? []), ...names.map(({ path: repository, tag }) => `${repository}:${tag}`)])
      assert.ok([A, B, NAMELESS].some(each => each.descriptor.digest === manifest?.descriptor.digest))
      for (const { extent, diffId } of layers) {
        assert.equal(digestOf(readFileSync(extent.path).subarray(extent.start, extent.end)), diffId)
      }
    }
    assert.deepEqual(
      [...byConfig.values()].map(names => names.toSorted()),
      [['library/app:1', 'library/app:2'], ['team/b:x'], []],
    )
  }
})

test('writeArchive() rejects with what a blob rejects with, and asks for no other then', async () => {
  const broken = {
    open: async (): Promise<ByteStream> =>
      (async function* () {
        yield Buffer.from('half')
        throw new Error('lost')
      })(),
  }
  await assert.rejects(Array.fromAsync(writeArchive([A], broken, 'oci')), { message: 'lost' })
})
