import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { type ArchivedImage, readArchive } from '../../src/archive/index.ts'
import { blobPath, type Descriptor, describeBytes, digestOf, familiarName, MEDIA_TYPES, type Platform } from '../../src/oci/index.ts'
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

  /** Reads the layout back as an archive whose index.json has these roots. */
  read(roots: readonly Descriptor[], platform: Platform = AMD64, more: Record<string, Buffer> = {}): Promise<readonly ArchivedImage[]> {
    const path = join(scratch, 'archive.tar')
    const files = {
      'oci-layout': Buffer.from('{"imageLayoutVersion":"1.0.0"}'),
      'index.json': Buffer.from(JSON.stringify({ schemaVersion: 2, manifests: roots })),
    }
    writeFileSync(path, tarOf({ ...files, ...this.#files, ...more }))
    return readArchive({ path, name: 'the archive', [Symbol.asyncDispose]: async () => undefined }, platform)
  }
}

const named = (name: string): Partial<Descriptor> => ({ annotations: { 'io.containerd.image.name': name } })

const seen = (images: readonly ArchivedImage[]): readonly (readonly [string, ...string[]])[] =>
  images.map(({ config, names }) => [config.architecture, ...names.map(familiarName)])

test('readArchive() takes the wanted platform of an index, and no attestation', async () => {
  const layout = new Layout()
  const [amd64, arm64] = [layout.image('amd64', { platform: AMD64 }), layout.image('arm64', { platform: ARM64 })]
  const root = layout.index([amd64, arm64, layout.attestation(amd64), layout.attestation(arm64)], named(NAME))
  assert.deepEqual(seen(await layout.read([root])), [['amd64', 'team/app:1']])
  assert.deepEqual(seen(await layout.read([root], ARM64)), [['arm64', 'team/app:1']])
  await assert.rejects(layout.read([root], { os: 'linux', architecture: 's390x' }), { code: 'STRATA_NO_SUCH_PLATFORM' })
  // What is not wanted need not be there.
  layout.drop(blobPath(arm64.digest))
  assert.equal((await layout.read([root])).length, 1)
})

test('readArchive() takes the wanted one of platforms that stand side by side in index.json', async () => {
  const layout = new Layout()
  for (const [name, familiar] of [
    [named(NAME), ['team/app:1']],
    [{}, []],
  ] as const) {
    const amd64 = layout.image('amd64', { platform: AMD64, ...name })
    const arm64 = layout.image('arm64', { platform: ARM64, ...name })
    const roots = [amd64, arm64, layout.attestation(amd64), layout.attestation(arm64)]
    assert.deepEqual(seen(await layout.read(roots)), [['amd64', ...familiar]])
    assert.deepEqual(seen(await layout.read(roots, ARM64)), [['arm64', ...familiar]])
    await assert.rejects(layout.read(roots, { os: 'linux', architecture: 's390x' }), { code: 'STRATA_NO_SUCH_PLATFORM' })
  }
})

test('readArchive() takes an image for another machine when its name has only that, and all names of one', async () => {
  const layout = new Layout()
  const roots = [
    layout.image('arm64', { platform: ARM64, ...named(NAME) }),
    layout.image('amd64', { platform: AMD64, ...named('docker.io/team/other:1') }),
    layout.image('amd64', { platform: AMD64, ...named('docker.io/team/other:2') }),
  ]
  assert.deepEqual(seen(await layout.read(roots)), [
    ['arm64', 'team/app:1'],
    ['amd64', 'team/other:1'],
    ['amd64', 'team/other:2'],
  ])
})

test("readArchive() takes the names of docker's list where index.json has none", async () => {
  const layout = new Layout()
  const root = layout.image('amd64')
  const [image] = await layout.read([root])
  const list = [{ Config: blobPath(digestOf(image!.configBytes)), RepoTags: ['team/app:1', 'team/app:2'], Layers: [] }]
  const more = { 'manifest.json': Buffer.from(JSON.stringify(list)) }
  assert.deepEqual(seen(await layout.read([root], AMD64, more)), [['amd64', 'team/app:1', 'team/app:2']])
  assert.deepEqual(seen(await layout.read([{ ...root, ...named('x:y') }], AMD64, more)), [['amd64', 'x:y']])
})

test('readArchive() says what an artifact is, and where a layer that may not be handed on is to be had', async () => {
  const layout = new Layout()
  const artifact = layout.json(MEDIA_TYPES.manifest, {
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.manifest,
    config: layout.put('application/vnd.oci.empty.v1+json', Buffer.from('{}')),
    layers: [layout.put('text/plain', Buffer.from('hello'))],
  })
  await assert.rejects(layout.read([artifact]), { code: 'STRATA_MANIFEST_NOT_AN_IMAGE', message: /oci\.empty\.v1/ })
  const foreign = layout.image('amd64', {}, MEDIA_TYPES.foreignLayer)
  assert.equal((await layout.read([foreign])).length, 1)
  layout.drop(blobPath(digestOf(tarOf({ file: 'amd64' }))))
  await assert.rejects(layout.read([foreign]), { code: 'STRATA_ARCHIVE_INCOMPLETE', hint: /https:\/\/maker\.example\/layer/ })
})
