import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { type Engine, openEngine } from '../../src/engine/index.ts'
import { type Descriptor, describeBytes, MEDIA_TYPES, parseReference } from '../../src/oci/index.ts'
import { connectRepository, type Repository } from '../../src/registry/index.ts'
import { sourceOf } from '../support/blobSources.ts'
import { faultyProxy } from '../support/faultyProxy.ts'
import { type LoopbackRegistry, startRegistry } from '../support/loopbackRegistry.ts'
import { machineFiles } from '../support/machineFiles.ts'

const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value))

describe('what an engine asks registries', () => {
  let scratch: string
  let registry: LoopbackRegistry
  let repository: Repository
  let engine: Engine
  const ref = (rest: string): string => `${registry.address}/team/app${rest}`

  before(async () => {
    scratch = await mkdtemp(join(tmpdir(), 'strata-remote-'))
    registry = await startRegistry()
    repository = await connectRepository(parseReference(ref('')), { configDirectory: scratch, access: 'push' })
    engine = await openEngine({ root: join(scratch, 'root'), configDirectory: scratch })
  })
  after(async () => {
    await engine.close()
    await repository[Symbol.asyncDispose]()
    await registry[Symbol.asyncDispose]()
    await rm(scratch, { recursive: true })
  })

  async function pushManifest(tag: string, value: { readonly mediaType: string }): Promise<Descriptor> {
    const bytes = json(value)
    const descriptor = describeBytes(value.mediaType, bytes)
    await repository.putManifest(tag, { descriptor, bytes })
    return descriptor
  }

  async function pushImage(tag: string, config: object, configType: string = MEDIA_TYPES.config): Promise<Descriptor> {
    const bytes = json({ rootfs: { type: 'layers', diff_ids: [] }, ...config })
    const descriptor = describeBytes(configType, bytes)
    await repository.put(descriptor, sourceOf(bytes))
    return pushManifest(tag, { schemaVersion: 2, mediaType: MEDIA_TYPES.manifest, config: descriptor, layers: [] } as { mediaType: string })
  }

  const pushIndex = (tag: string, manifests: readonly Descriptor[]): Promise<Descriptor> =>
    pushManifest(tag, { schemaVersion: 2, mediaType: MEDIA_TYPES.index, manifests } as { mediaType: string })

  test('remoteManifests() gives an image with the platform of its config, and an artifact with none', async () => {
    const platform = { architecture: 'arm', os: 'linux', 'os.version': '1', variant: 'v7' }
    const image = await pushImage('image', platform)
    const [found, ...more] = await Array.fromAsync(engine.remoteManifests(ref(':image')))
    assert.deepEqual(more, [])
    assert.deepEqual(found?.descriptor, { ...image, platform })
    assert.deepEqual([found.reference, found.isEntry], [ref(':image'), false])
    const artifact = await pushImage('artifact', {}, MEDIA_TYPES.empty)
    const [plain] = await Array.fromAsync(engine.remoteManifests(ref(`@${artifact.digest}`)))
    assert.deepEqual(plain?.descriptor, artifact)
  })

  test('remoteManifests() gives the images of an index, also of those inside it, each when it is asked for', async () => {
    const [one, two] = [
      await pushImage('one', { architecture: 'amd64', os: 'linux' }),
      await pushImage('two', { architecture: 'arm64', os: 'linux' }),
    ]
    const platform = { architecture: 'arm64', os: 'linux' }
    const inner = await pushIndex('inner', [{ ...two, platform }])
    const outer = await pushIndex('latest', [one, inner, { ...two, platform }, inner])
    const found = await Array.fromAsync(engine.remoteManifests(ref('')))
    assert.deepEqual(
      found.map(({ reference, descriptor, isEntry }) => [reference, descriptor, isEntry]),
      [
        [ref(`:latest@${one.digest}`), one, true],
        [ref(`:latest@${two.digest}`), { ...two, platform }, true],
        [ref(`:latest@${two.digest}`), { ...two, platform }, true],
      ],
    )
    const { descriptor, bytes, isEntry } = await engine.remoteManifest(ref(':latest'))
    assert.deepEqual([descriptor, describeBytes(MEDIA_TYPES.index, bytes), isEntry], [outer, outer, false])
    for await (const first of engine.remoteManifests(ref(''))) {
      assert.equal(first.descriptor.digest, one.digest)
      break
    }
  })

  test('tags() lists what is there, and takes no name of one', async () => {
    assert.deepEqual((await Array.fromAsync(engine.tags(ref('')))).sort(), ['artifact', 'image', 'inner', 'latest', 'one', 'two'])
    await assert.rejects(Array.fromAsync(engine.tags(ref(':one'))), { kind: 'invalidArgument' })
    await assert.rejects(Array.fromAsync(engine.tags(`${registry.address}/none`)), { kind: 'notFound' })
  })

  test('a short name may be an alias, as for pull', async () => {
    const files = await machineFiles(scratch, { 'etc/containers/registries.conf': `[aliases]\n"shortapp" = "${ref('')}"\n` })
    await using aliasing = await openEngine({ root: join(scratch, 'aliasing'), ...files })
    assert.equal((await Array.fromAsync(aliasing.tags('shortapp'))).length, 6)
    assert.equal((await aliasing.remoteManifest('shortapp:one')).reference, ref(':one'))
  })

  test('remoteManifest() says what is not there', async () => {
    await assert.rejects(engine.remoteManifest(ref(':none')), { code: 'STRATA_NO_SUCH_MANIFEST' })
    await assert.rejects(Array.fromAsync(engine.remoteManifests(ref(':none'))), { code: 'STRATA_NO_SUCH_MANIFEST' })
  })

  test('hostile #55: remoteManifests() asks for what is named again and again once', async () => {
    const image = await pushImage('again', { architecture: 'amd64', os: 'linux', author: 'again' })
    const platforms = ['amd64', 'arm64', 's390x'].map(architecture => ({ ...image, platform: { os: 'linux', architecture } }))
    const inner = await pushIndex('again-inner', platforms)
    await pushIndex('again-root', [inner, { ...inner, annotations: { again: 'yes' } }, ...platforms])
    await using proxy = await faultyProxy(registry.address)
    const found = await Array.fromAsync(engine.remoteManifests(`${proxy.address}/team/app:again-root`))
    assert.deepEqual(
      found.map(({ descriptor }) => [descriptor.digest, descriptor.platform?.architecture]),
      [...platforms, ...platforms].map(({ digest, platform }) => [digest, platform.architecture]),
    )
    const asked = proxy.exchanges.map(({ path }) => path)
    for (const { digest } of [image, inner]) assert.equal(asked.filter(path => path.endsWith(digest)).length, 1)
  })
})
