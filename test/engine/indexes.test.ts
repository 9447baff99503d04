import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, beforeEach, describe, test } from 'node:test'
import { type Engine, openEngine } from '../../src/engine/index.ts'
import { type Descriptor, type ImageIndex, MEDIA_TYPES } from '../../src/oci/index.ts'
import { must } from '../support/commands.ts'
import { type CraftedLayer, ImageCrafter } from '../support/craftedImages.ts'
import { type LoopbackRegistry, startRegistry } from '../support/loopbackRegistry.ts'
import { tarOf } from '../support/tars.ts'

/* Names that stand for more than one image, or for none: indexes with several platforms, and artifacts. */

let scratch: string
let registry: LoopbackRegistry
let crafter: ImageCrafter
let root: string
let engine: Engine
let multi: { readonly index: Descriptor; readonly amd64: Descriptor; readonly arm64: Descriptor; readonly attestation: Descriptor }
let artifact: Descriptor

before(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'strata-indexes-'))
  registry = await startRegistry()
  crafter = new ImageCrafter(registry.address, 'team/app')
  multi = await craftIndex()
  artifact = await craftArtifact()
})
after(async () => {
  await engine?.close()
  await registry[Symbol.asyncDispose]()
  await rm(scratch, { recursive: true, force: true })
})
beforeEach(async () => {
  await engine?.close()
  root = await mkdtemp(join(scratch, 'root-'))
  engine = await openEngine({ root })
})

const layer = (files: Parameters<typeof tarOf>[0]): CraftedLayer => ({ tar: tarOf(files), compression: 'gzip' })
const named = (suffix: string, repository = 'team/app'): string => `${registry.address}/${repository}${suffix}`

/** Two platforms with a common base, and what BuildKit says of how one of them was made. */
async function craftIndex(): Promise<typeof multi> {
  const base = layer({ base: 'common' })
  const amd64 = await crafter.image(undefined, [base, layer({ own: 'amd64' })])
  const arm64 = await crafter.image(undefined, [base, layer({ own: 'arm64' })], { architecture: 'arm64' })
  const statement = await crafter.blob('application/vnd.in-toto+json', Buffer.from('{"_type":"https://in-toto.io/Statement/v0.1"}'))
  const config = await crafter.blob(
    MEDIA_TYPES.config,
    Buffer.from('{"architecture":"unknown","os":"unknown","rootfs":{"type":"layers","diff_ids":[]}}'),
  )
  const attestation = await crafter.manifest(undefined, { schemaVersion: 2, mediaType: MEDIA_TYPES.manifest, config, layers: [statement] })
  const index = await crafter.manifest('multi', {
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.index,
    manifests: [
      { ...amd64, platform: { os: 'linux', architecture: 'amd64' } },
      { ...arm64, platform: { os: 'linux', architecture: 'arm64' } },
      {
        ...attestation,
        platform: { os: 'unknown', architecture: 'unknown' },
        annotations: { 'vnd.docker.reference.type': 'attestation-manifest', 'vnd.docker.reference.digest': arm64.digest },
      },
    ],
  })
  return { index, amd64, arm64, attestation }
}

async function craftArtifact(): Promise<Descriptor> {
  const config = await crafter.blob(MEDIA_TYPES.empty, Buffer.from('{}'))
  const chart = await crafter.blob('application/vnd.cncf.helm.chart.content.v1.tar+gzip', Buffer.from('a chart'))
  return crafter.manifest('chart', {
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.manifest,
    artifactType: 'application/vnd.example.chart',
    config,
    layers: [chart],
  })
}

/** What another client sees in the registry. */
async function inspectRaw(reference: string): Promise<{ readonly digest: string; readonly document: ImageIndex }> {
  const digest = (await must('skopeo', 'inspect', '--tls-verify=false', '--format', '{{.Digest}}', `docker://${reference}`)).trim()
  const raw = await must('skopeo', 'inspect', '--tls-verify=false', '--raw', `docker://${reference}`)
  return { digest, document: JSON.parse(raw) as ImageIndex }
}

describe('an index', () => {
  test('all of its platforms are pulled, kept under one name, and pushed with the same digest', async () => {
    const [pulled] = await engine.pull(named(':multi'), { platforms: 'all' })
    assert.equal(pulled?.manifestDigest, multi.index.digest)
    assert.equal(pulled?.newer, true)
    assert.equal((await engine.pull(named(':multi'), { platforms: 'all' }))[0]?.newer, false)
    const listed = await engine.images()
    assert.deepEqual(
      listed.map(({ tags }) => tags),
      [[named(':multi')]],
    )
    assert.equal((await engine.images({ all: true })).length, 2)
    assert.equal((await engine.inspectImage(named(':multi'), { platform: 'linux/arm64' })).Architecture, 'arm64')
    assert.equal((await engine.inspectImage(named(':multi'), { platform: 'linux/amd64' })).Architecture, 'amd64')
    await engine.tag(named(':multi'), named(':1', 'other/copy'))
    await engine.push(named(':1', 'other/copy'))
    assert.equal((await inspectRaw(named(':1', 'other/copy'))).digest, multi.index.digest)
    const attestation = await fetch(`http://${named(`/manifests/${multi.attestation.digest}`, 'v2/other/copy')}`, {
      headers: { accept: MEDIA_TYPES.manifest },
    })
    assert.equal(attestation.status, 200)
    assert.deepEqual(await Array.fromAsync(engine.check()), [])
  })

  test('the root is an image layout of the whole index', async () => {
    await engine.pull(named(':multi'), { platforms: 'all' })
    const { manifests } = JSON.parse(await readFile(join(root, 'index.json'), 'utf8')) as ImageIndex
    assert.deepEqual(
      manifests.map(({ digest }) => digest),
      [multi.index.digest],
    )
    const copied = await mkdtemp(join(scratch, 'judge-'))
    await must('skopeo', 'copy', '--all', `oci:${root}:multi`, `dir:${copied}`)
  })

  test('some of its platforms keep the index, and what is pushed of it has those', async () => {
    const [third, index] = [await crafter.image(undefined, [layer({ own: 's390x' })], { architecture: 's390x' }), multi.index]
    const bytes = (await inspectRaw(named(':multi'))).document
    await crafter.manifest('three', {
      ...bytes,
      manifests: [...bytes.manifests, { ...third, platform: { os: 'linux', architecture: 's390x' } }],
    })
    await engine.pull(named(':three'), { platforms: ['linux/amd64', 'linux/s390x'] })
    assert.equal((await engine.images({ all: true })).length, 2)
    await engine.tag(named(':three'), named(':some', 'other/copy'))
    const notes: string[] = []
    await engine.push(named(':some', 'other/copy'), { onProgress: ({ status }) => notes.push(status) })
    assert.ok(notes.some(note => note.includes('only the platforms that are here')))
    const { document, digest } = await inspectRaw(named(':some', 'other/copy'))
    assert.deepEqual(
      document.manifests.map(entry => [entry.digest, entry.platform?.architecture]),
      [
        [multi.amd64.digest, 'amd64'],
        [third.digest, 's390x'],
      ],
    )
    assert.notEqual(digest, index.digest)
    await engine.push(named(':some', 'other/copy'), { platforms: ['linux/s390x'] })
    assert.equal((await inspectRaw(named(':some', 'other/copy'))).digest, third.digest)
  })

  test('a platform that is asked for twice, in any spelling, is meant once', async () => {
    const twice = ['linux/arm64', 'linux/aarch64/v8']
    const statuses: string[] = []
    await engine.pull(named(':multi'), { platforms: twice, onProgress: ({ status }) => statuses.push(status) })
    assert.equal((await engine.images({ all: true })).length, 1)
    assert.equal(statuses.filter(status => status === 'Pulling fs layer').length, 2)
    // One platform's image stands for itself.
    await engine.tag(named(':multi'), named(':twice', 'other/copy'))
    await engine.push(named(':twice', 'other/copy'), { platforms: twice })
    assert.equal((await inspectRaw(named(':twice', 'other/copy'))).digest, multi.arm64.digest)
    const { manifestDigest } = await engine.copy(`docker://${named(':multi')}`, `oci:${join(scratch, 'twice')}`, { platforms: twice })
    assert.equal(manifestDigest, multi.arm64.digest)
  })

  test('a platform that it lacks is refused before anything is fetched', async () => {
    await assert.rejects(engine.pull(named(':multi'), { platforms: ['linux/amd64', 'linux/riscv64'] }), {
      code: 'STRATA_NO_SUCH_PLATFORM',
      hint: 'It has linux/amd64, linux/arm64; choose one with --platform.',
    })
    assert.deepEqual(await engine.images({ all: true }), [])
  })

  test('its images go with its last name, and not before', async () => {
    await engine.pull(named(':multi'), { platforms: 'all' })
    const arm64 = (await engine.images({ all: true })).find(({ tags }) => tags.length === 0)!
    await assert.rejects(engine.removeImage(arm64.id), { code: 'STRATA_IMAGE_IS_PART' })
    assert.deepEqual((await engine.pruneImages()).removed, [])
    await engine.tag(named(':multi'), 'kept:1')
    await engine.removeImage(named(':multi'))
    assert.equal((await engine.images({ all: true })).length, 2)
    const removed = await engine.removeImage('kept:1')
    assert.equal(removed.filter(({ kind }) => kind === 'deleted').length, 2)
    assert.deepEqual(await engine.images({ all: true }), [])
    assert.equal((await engine.diskUsage()).layersBytes, 0)
    await engine.pruneImages()
    assert.deepEqual(JSON.parse(await readFile(join(root, 'index.json'), 'utf8')).manifests, [])
    assert.equal((await must('find', join(root, 'blobs'), '-type', 'f')).trim(), '')
  })

  test('of two pulls by one platform each the second takes the name', async () => {
    await engine.pull(named(':multi'), { platforms: ['linux/amd64'] })
    await engine.pull(named(':multi'), { platforms: ['linux/arm64'] })
    assert.equal((await engine.inspectImage(named(':multi'))).Architecture, 'arm64')
    // As with docker, the image that had the name is left without one.
    assert.deepEqual(
      (await engine.images()).map(({ tags }) => tags.length).toSorted((a, b) => a - b),
      [0, 1],
    )
    await engine.pruneImages()
    assert.equal((await engine.images({ all: true })).length, 1)
  })
})

describe('of several platforms that would do', () => {
  const inOrder = ['arm/v6', 'arm/v7', 'arm64'] as const
  before(async () => {
    const manifests: Descriptor[] = []
    for (const name of inOrder) {
      const [architecture = '', variant] = name.split('/')
      // The config has no variant, as many have none.
      const image = await crafter.image(undefined, [layer({ own: name })], { architecture })
      manifests.push({ ...image, platform: { os: 'linux', architecture, ...(variant === undefined ? {} : { variant }) } })
    }
    await crafter.manifest('arms', { schemaVersion: 2, mediaType: MEDIA_TYPES.index, manifests })
  })

  test('the best is meant, in whatever order the index has them', async () => {
    await engine.pull(named(':arms'), { platforms: 'all' })
    for (const name of inOrder) {
      const read = await engine.readFile(named(':arms'), '/own', { platform: `linux/${name}` })
      assert.equal(Buffer.concat(await Array.fromAsync(read)).toString(), name)
    }
    await engine.tag(named(':arms'), named(':two', 'other/arms'))
    await engine.push(named(':two', 'other/arms'), { platforms: ['linux/arm64', 'linux/arm/v7'] })
    const raw = await must('skopeo', 'inspect', '--tls-verify=false', '--raw', `docker://${named(':two', 'other/arms')}`)
    assert.deepEqual(
      (JSON.parse(raw) as ImageIndex).manifests.map(({ platform }) => platform?.architecture),
      ['arm', 'arm64'],
    )
  })

  test('an image that stands alone is not taken for another platform that was asked for', async () => {
    await crafter.image('alone', [layer({ own: 'amd64' })])
    await assert.rejects(engine.pull(named(':alone'), { platforms: ['linux/arm64'] }), {
      code: 'STRATA_NO_SUCH_PLATFORM',
      hint: /linux\/amd64/,
    })
    assert.deepEqual(await engine.images({ all: true }), [])
    await engine.pull(named(':alone'))
  })
})

test('a name keeps its index, and what was pulled of it, when one platform is pulled again', async () => {
  await engine.pull(named(':multi'), { platforms: 'all' })
  const [again] = await engine.pull(named(':multi'))
  assert.equal(again?.newer, false)
  await engine.pull(named(':multi'), { platforms: ['linux/arm64'] })
  assert.equal((await engine.inspectImage(named(':multi'))).Architecture, 'amd64')
  assert.equal((await engine.inspectImage(named(':multi'), { platform: 'linux/arm64' })).Architecture, 'arm64')
  await engine.push(named(':multi'))
  assert.equal((await inspectRaw(named(':multi'))).digest, multi.index.digest)
})

describe('push', () => {
  test('by digest gives no tag to it, and moves none', async () => {
    const image = await crafter.image('by-digest', [layer({ own: 'by digest' })])
    await new ImageCrafter(registry.address, 'other/latest').image('latest', [layer({ own: 'latest' })])
    const before = (await inspectRaw(named(':latest', 'other/latest'))).digest
    await engine.pull(named(':by-digest'))
    await engine.tag(named(':by-digest'), named(':x', 'other/latest'))
    await engine.push(named(':x', 'other/latest'))
    await engine.push(named(`@${image.digest}`, 'other/latest'))
    assert.equal((await inspectRaw(named(':latest', 'other/latest'))).digest, before)
    assert.equal((await inspectRaw(named(`@${image.digest}`, 'other/latest'))).digest, image.digest)
  })

  test('of an id, or of a tag and all tags, is refused before anything is sent', async () => {
    const [pulled] = await engine.pull(named(':multi'))
    await assert.rejects(engine.push(pulled!.imageId.slice(7, 19)), { code: 'STRATA_NO_SUCH_IMAGE' })
    await assert.rejects(engine.push(named(':multi'), { allTags: true }), { code: 'STRATA_TAG_WITH_ALL_TAGS' })
  })
})

describe('what is said about an image', () => {
  /** A signature of cosign's, a list of parts that refers to the image, and a signature of that list. */
  async function craftReferrers(
    subject: Descriptor,
  ): Promise<{ readonly sbom: Descriptor; readonly onSbom: Descriptor; readonly tag: string }> {
    const config = await crafter.blob(MEDIA_TYPES.empty, Buffer.from('{}'))
    const manifest = { schemaVersion: 2, mediaType: MEDIA_TYPES.manifest, config }
    const say = async (about: Descriptor, text: string): Promise<Descriptor> => {
      const part = await crafter.blob('application/spdx+json', Buffer.from(text))
      const { mediaType, digest, size } = about
      const artifactType = 'application/vnd.example.sbom'
      const referrer = await crafter.manifest(undefined, {
        ...manifest,
        artifactType,
        layers: [part],
        subject: { mediaType, digest, size },
      })
      const entry = { ...referrer, artifactType, annotations: { about: text } }
      // The registry of Debian has no referrers API.
      await crafter.manifest(about.digest.replace(':', '-'), { schemaVersion: 2, mediaType: MEDIA_TYPES.index, manifests: [entry] })
      return referrer
    }
    const sbom = await say(subject, 'parts')
    const payload = await crafter.blob('application/vnd.dev.cosign.simplesigning.v1+json', Buffer.from('signed'))
    const tag = `${subject.digest.replace(':', '-')}.sig`
    await crafter.manifest(tag, { ...manifest, layers: [payload] })
    return { sbom, onSbom: await say(sbom, 'signature of the parts'), tag }
  }

  test('comes along when it is pulled, is listed, goes along when it is pushed, and goes with it', async () => {
    const subject = await crafter.image('signed', [layer({ signed: 'signed' })])
    const { sbom, onSbom, tag } = await craftReferrers(subject)
    await engine.pull(named(':signed'))
    await engine.pruneImages()
    const listed = await engine.referrers(named(':signed'))
    assert.deepEqual(
      listed.map(({ subject, digest, tag: found }) => `${subject} ${found ?? digest}`).toSorted(),
      [`${subject.digest} ${sbom.digest}`, `${subject.digest} ${tag}`, `${sbom.digest} ${onSbom.digest}`].toSorted(),
    )
    assert.deepEqual(listed.map(({ artifactType }) => artifactType).toSorted(), [
      'application/vnd.dev.cosign.simplesigning.v1+json',
      'application/vnd.example.sbom',
      'application/vnd.example.sbom',
    ])
    await engine.tag(named(':signed'), named(':1', 'other/signed'))
    await engine.push(named(':1', 'other/signed'))
    await engine.push(named(':1', 'other/signed'))
    await engine.removeImage(named(':signed'))
    await engine.removeImage(named(':1', 'other/signed'))
    await engine.pruneImages()
    assert.equal((await must('find', join(root, 'blobs'), '-type', 'f')).trim(), '')
    await engine.pull(named(':1', 'other/signed'))
    const again = await engine.referrers(named(':1', 'other/signed'))
    assert.deepEqual(
      new Set(again.map(({ digest }) => digest).filter(digest => [sbom.digest, onSbom.digest].includes(digest as never))),
      new Set([sbom.digest, onSbom.digest]),
    )
    assert.deepEqual(
      again.flatMap(each => each.tag ?? []),
      [tag],
    )
    const remote = await engine.referrers(named(':1', 'other/signed'), { remote: true })
    assert.deepEqual(remote.map(({ digest }) => digest).toSorted(), again.map(({ digest }) => digest).toSorted())
  })

  test('does not hinder a pull where it is damaged', async () => {
    const subject = await crafter.image('odd', [layer({ odd: 'odd' })])
    const part = await crafter.blob('application/spdx+json', Buffer.from('will be gone'))
    const config = await crafter.blob(MEDIA_TYPES.empty, Buffer.from('{}'))
    const referrer = await crafter.manifest(undefined, {
      schemaVersion: 2,
      mediaType: MEDIA_TYPES.manifest,
      config,
      layers: [part],
      subject,
    })
    await crafter.manifest(subject.digest.replace(':', '-'), { schemaVersion: 2, mediaType: MEDIA_TYPES.index, manifests: [referrer] })
    const deleted = await fetch(`http://${named(`/blobs/${part.digest}`, 'v2/team/app')}`, { method: 'DELETE' })
    assert.equal(deleted.status, 202)
    const notes: string[] = []
    await engine.pull(named(':odd'), { onProgress: ({ status }) => notes.push(status) })
    assert.ok(
      notes.some(note => note.startsWith(`What is said about ${subject.digest} is not kept: Cannot get ${part.digest}`)),
      notes.join('\n'),
    )
    assert.deepEqual(await engine.referrers(named(':odd')), [])
    assert.deepEqual(await Array.fromAsync(engine.check()), [])
  })
})

describe('an artifact', () => {
  test('is pulled, tagged, pushed with the same digest, and removed', async () => {
    const [pulled] = await engine.pull(named(':chart'))
    assert.equal(pulled?.manifestDigest, artifact.digest)
    assert.deepEqual(await engine.images({ all: true }), [])
    await engine.pruneImages()
    await engine.tag(named(':chart'), named(':2', 'other/chart'))
    await engine.push(named(':2', 'other/chart'))
    const answer = await fetch(`http://${named('/manifests/2', 'v2/other/chart')}`, { headers: { accept: MEDIA_TYPES.manifest } })
    assert.equal(answer.headers.get('docker-content-digest'), artifact.digest)
    await assert.rejects(engine.inspectImage(named(':chart')), { kind: 'notFound', code: 'STRATA_NO_IMAGE' })
    await assert.rejects(engine.create({ image: named(':chart') }), {
      message: `Cannot use "${named(':chart')}" as an image: it is an artifact`,
    })
    await engine.removeImage(named(':chart'))
    await engine.removeImage(named(':2', 'other/chart'))
    await engine.pruneImages()
    assert.equal((await must('find', join(root, 'blobs'), '-type', 'f')).trim(), '')
  })
})
