import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { arch, tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { digestOf, MEDIA_TYPES } from '../../src/oci/index.ts'
import { openEngine } from '../../src/engine/index.ts'
import { ImageCrafter } from '../support/craftedImages.ts'
import { checkStore, storedFiles } from '../support/storeCheck.ts'
import { tarOf } from '../support/tars.ts'
import { Served } from './served.ts'
import { startServing } from './serveProcess.ts'

const HERE = arch() === 'x64' ? 'amd64' : arch()
const ELSEWHERE = HERE === 'amd64' ? 'arm64' : 'amd64'

test('of an index that is pushed the image for this machine is unpacked, and all of it is given out again', async () => {
  await using served = await Served.start({ writable: true })
  const crafter = new ImageCrafter(served.address, 'team/app')
  const ours = await crafter.image(undefined, [{ tar: tarOf({ ours: 'x' }), compression: 'gzip' }], { architecture: HERE })
  const theirs = await crafter.image(undefined, [{ tar: tarOf({ theirs: 'x' }), compression: 'gzip' }], { architecture: ELSEWHERE })
  // By digest alone they are no images yet.
  assert.deepEqual(await served.engine.images(), [])
  await crafter.index('all', { [HERE]: ours, [ELSEWHERE]: theirs })
  const name = `${served.address}/team/app:all`
  const inspected = await served.engine.inspectImage(name)
  assert.equal(inspected.Architecture, HERE)
  assert.equal(inspected.Descriptor?.digest, ours.digest)
  await served.engine.pruneImages({ all: false })
  for (const { digest } of [ours, theirs]) {
    const answer = await served.must(200, 'GET', `/v2/team/app/manifests/${digest}`)
    const { layers } = (await answer.json()) as { layers: { digest: string }[] }
    await served.must(200, 'HEAD', `/v2/team/app/blobs/${layers[0]!.digest}`)
  }
  const { faults } = await checkStore(join(served.root, 'root'))
  assert.deepEqual(faults, [])
})

test('an image that cannot be unpacked is kept and given out as it is, and is no image here (hostile #53)', async () => {
  await using served = await Served.start({ writable: true })
  const crafter = new ImageCrafter(served.address, 'team/app')
  const tar = tarOf({ file: 'x' })
  const layers = [{ tar, compression: 'gzip' as const }]
  const wrongDiffId = { rootfs: { type: 'layers', diff_ids: [digestOf(Buffer.from('another layer'))] } }
  const wrongCount = { rootfs: { type: 'layers', diff_ids: [] } }
  for (const [tag, config] of Object.entries({ diffid: wrongDiffId, count: wrongCount, none: { rootfs: undefined } })) {
    const { digest } = await crafter.image(tag, layers, config)
    const answer = await served.must(200, 'HEAD', `/v2/team/app/manifests/${tag}`)
    assert.equal(answer.headers.get('docker-content-digest'), digest)
    await assert.rejects(served.engine.inspectImage(`${served.address}/team/app:${tag}`), { kind: 'notFound' })
  }
  assert.deepEqual(await served.engine.images(), [])
  const good = await crafter.image('diffid', layers)
  assert.equal((await served.engine.inspectImage(`${served.address}/team/app:diffid`)).Descriptor?.digest, good.digest)
  await crafter.image('diffid', layers, wrongCount)
  await assert.rejects(served.engine.inspectImage(`${served.address}/team/app:diffid`), { kind: 'notFound' })
})

test('a manifest that is pushed by its digest waits for its tag, and is pruned when the server has ended', async () => {
  await using served = await Served.start({ writable: true })
  const { engine } = served
  const part = await served.artifact('team/app', 'part')
  await engine.pruneImages({ all: true })
  const index = { schemaVersion: 2, mediaType: MEDIA_TYPES.index, manifests: [part] }
  const { digest } = await served.document('team/app', index, 'all')
  const name = `${served.address}/team/app:all`
  // An index without an image for here is kept as what it is.
  const listed = await engine.artifacts()
  assert.deepEqual(
    listed.map(each => [each.name, each.digest, each.artifactType]),
    [[name, digest, MEDIA_TYPES.index]],
  )
  await served.restart({ writable: true })
  await engine.pruneImages()
  for (const at of [digest, part.digest]) await served.must(200, 'GET', `/v2/team/app/manifests/${at}`)
  await served.must(202, 'DELETE', '/v2/team/app/manifests/all')
  const untagged = `${served.address}/team/app@${digest}`
  assert.ok((await engine.artifacts()).some(each => each.name === untagged))
  await engine.removeImage(untagged)
  await served.must(404, 'GET', `/v2/team/app/manifests/${digest}`)
  await engine.pruneImages()
  assert.deepEqual(storedFiles(join(served.root, 'root')), [])
})

test('what was pulled along with an image is given out along with it, by reference and by cosign’s tag', async () => {
  await using first = await Served.start({ writable: true })
  const crafter = new ImageCrafter(first.address, 'team/app')
  const subject = await crafter.image('1', [{ tar: tarOf({ file: 'x' }), compression: 'gzip' }])
  const said = await first.artifact('team/app', 'said', { subject, artifactType: 'application/said' })
  const tag = `${subject.digest.replace(':', '-')}.sig`
  const signature = await first.artifact('team/app', 'signed', {}, tag)
  await using second = await Served.start()
  await second.engine.pull(`${first.address}/team/app:1`)
  const answer = await second.must(200, 'GET', `/v2/team/app/referrers/${subject.digest}`)
  assert.deepEqual(((await answer.json()) as { manifests: unknown }).manifests, [{ ...said, artifactType: 'application/said' }])
  await second.must(200, 'GET', `/v2/team/app/manifests/${said.digest}`)
  assert.equal((await second.must(200, 'HEAD', `/v2/team/app/manifests/${tag}`)).headers.get('docker-content-digest'), signature.digest)
  await second.must(404, 'HEAD', `/v2/team/app/manifests/${tag}x`)
  assert.deepEqual(await (await second.must(200, 'GET', '/v2/team/app/tags/list')).json(), { name: 'team/app', tags: ['1', tag] })
})

test('a signature that was pulled along is given out although a client has pushed the same one to another repository', async () => {
  await using first = await Served.start({ writable: true })
  const subject = await new ImageCrafter(first.address, 'team/app').image('1', [{ tar: tarOf({ file: 'x' }), compression: 'gzip' }])
  const tag = `${subject.digest.replace(':', '-')}.sig`
  const signature = await first.artifact('team/app', 'signed', {}, tag)
  await using second = await Served.start({ writable: true })
  await second.artifact('copy/app', 'signed', {}, tag)
  await second.engine.pull(`${first.address}/team/app:1`)
  const answer = await second.must(200, 'GET', `/v2/team/app/manifests/${tag}`)
  assert.equal(answer.headers.get('docker-content-digest'), signature.digest)
  const { layers } = (await answer.json()) as { layers: { digest: string }[] }
  await second.must(200, 'GET', `/v2/team/app/blobs/${layers[0]!.digest}`)
  await second.must(405, 'DELETE', `/v2/team/app/manifests/${tag}`)
})

test('what is said about an index is given out also where one image of it was pulled', async () => {
  await using first = await Served.start({ writable: true })
  const crafter = new ImageCrafter(first.address, 'team/app')
  const image = await crafter.image(undefined, [{ tar: tarOf({ file: 'x' }), compression: 'gzip' }], { architecture: HERE })
  const index = await crafter.index('1', { [HERE]: image })
  const tag = `${index.digest.replace(':', '-')}.sig`
  const signature = await first.artifact('team/app', 'signed', {}, tag)
  const said = await first.artifact('team/app', 'said', { subject: index, artifactType: 'application/said' })
  await using second = await Served.start()
  await second.engine.pull(`${first.address}/team/app:1`)
  await second.must(404, 'HEAD', `/v2/team/app/manifests/${index.digest}`)
  const answer = await second.must(200, 'GET', `/v2/team/app/manifests/${tag}`)
  assert.equal(answer.headers.get('docker-content-digest'), signature.digest)
  const { layers } = (await answer.json()) as { layers: { digest: string }[] }
  await second.must(200, 'GET', `/v2/team/app/blobs/${layers[0]!.digest}`)
  const list = await second.must(200, 'GET', `/v2/team/app/referrers/${index.digest}`)
  assert.deepEqual(((await list.json()) as { manifests: unknown }).manifests, [{ ...said, artifactType: 'application/said' }])
})

test('a server that is killed leaves nothing half-visible; uploads go on at the next one, or are pruned', async () => {
  const scratch = await mkdtemp(join(tmpdir(), 'strata-killed-'))
  const root = join(scratch, 'root')
  try {
    const bytes = randomBytes(1_000_000)
    const first = await startServing(root, '--writable')
    const begun = await fetch(`http://${first.address}/v2/a/blobs/uploads/`, { method: 'POST' })
    const location = begun.headers.get('location')!
    // Of what the server has said that it has nothing is lost.
    const sent = await fetch(`http://${first.address}${location}`, { method: 'PATCH', body: bytes.subarray(0, 600_000) })
    assert.equal(sent.status, 202)
    await first.end('SIGKILL')

    const second = await startServing(root, '--writable')
    assert.equal((await fetch(`http://${second.address}${location}`)).headers.get('range'), '0-599999')
    assert.equal((await fetch(`http://${second.address}/v2/a/blobs/${digestOf(bytes)}`)).status, 404)
    const rest = { method: 'PUT', body: bytes.subarray(600_000), headers: { 'content-range': '600000-999999' } }
    assert.equal((await fetch(`http://${second.address}${location}?digest=${digestOf(bytes)}`, rest)).status, 201)
    assert.equal((await fetch(`http://${second.address}/v2/a/blobs/${digestOf(bytes)}`)).status, 200)
    await second.end('SIGKILL')
    const { faults, images } = await checkStore(root)
    assert.deepEqual([faults, images], [[], []])
    await using engine = await openEngine({ root })
    await engine.pruneImages()
    assert.deepEqual(storedFiles(root), [])
  } finally {
    await rm(scratch, { recursive: true })
  }
})
