import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { readdirSync, statSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { MEDIA_TYPES } from '../../src/oci/index.ts'
import { must, strata } from '../support/commands.ts'
import { ImageCrafter } from '../support/craftedImages.ts'
import { checkStore } from '../support/storeCheck.ts'
import { tarOf } from '../support/tars.ts'
import { Served } from './served.ts'
import { startServing } from './serveProcess.ts'

const STRATA = fileURLToPath(new URL('../../bin/strata', import.meta.url))

let scratch: string
before(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'strata-clients-'))
})
after(() => rm(scratch, { recursive: true, force: true }))

async function succeeds(root: string, ...args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await strata(['--root', root, '--no-fsync', ...args])
  assert.equal(code, 0, `${args.join(' ')}: ${stderr}`)
  return stdout
}

test('strata serve prints where, warns of hidden names, logs requests when asked, and ends with 0', async () => {
  const root = join(scratch, 'cli')
  for (const [position, name] of ['quay.io/team/app:1', 'team/app:1'].entries()) {
    const tar = join(scratch, `${position}.tar`)
    await writeFile(tar, tarOf({ [`file${position}`]: 'x' }))
    await succeeds(root, 'import', tar, name)
  }
  const server = await startServing(root, '--verbose')
  const { address } = server
  const warning = 'WARNING: quay.io/team/app:1 is hidden: clients get docker.io/team/app:1 as team/app:1\n'
  assert.equal(await (await fetch(`http://${address}/v2/team/app/tags/list`)).text(), '{"name":"team/app","tags":["1"]}')
  await succeeds(root, 'tag', 'quay.io/team/app:1', 'ghcr.io/team/app:1')
  await succeeds(root, 'pull', '-q', `${address}/team/app:1`)
  assert.equal(await server.end('SIGTERM'), 0)
  assert.ok(server.errors().startsWith(warning), server.errors())
  assert.match(server.errors(), /Z 127\.0\.0\.1 - GET \/v2\/team\/app\/tags\/list 200 \d+ \d+ms\n/)
  assert.ok(server.errors().includes('WARNING: ghcr.io/team/app:1 is hidden'), server.errors())
})

test('strata serve refuses what is wrong with its flags', async () => {
  const root = join(scratch, 'refused')
  for (const [flags, code, text] of [
    [['--listen', '0.0.0.0:0'], 1, 'Say who may connect with --allow'],
    [['--listen', 'nowhere'], 1, 'expected an IP address and a port'],
    [['--tls-cert', 'x'], 125, '--tls-cert and --tls-key go together'],
  ] as const) {
    const result = await strata(['--root', root, 'serve', ...flags])
    assert.equal(result.code, code, result.stderr)
    assert.ok(result.stderr.includes(text), result.stderr)
  }
})

test('Strata pulls and pushes, and a pushed image is one of the store', async () => {
  const [ours, theirs] = [join(scratch, 'ours'), join(scratch, 'theirs')]
  const tar = join(scratch, 'image.tar')
  await writeFile(tar, tarOf({ file: randomBytes(2_000_000), other: 'text' }))
  await succeeds(theirs, 'import', tar, 'made:1')
  const server = await startServing(ours, '--writable')
  const { address } = server
  await succeeds(theirs, 'tag', 'made:1', `${address}/team/made:1`)
  await succeeds(theirs, 'push', '-q', `${address}/team/made:1`)
  await succeeds(theirs, 'rmi', '-f', `${address}/team/made:1`, 'made:1')
  const pulled = await succeeds(theirs, 'pull', `${address}/team/made:1`)
  assert.match(pulled, /Downloaded newer image/)
  const id = await succeeds(ours, 'inspect', `${address}/team/made:1`, '-f', '{{.Id}}')
  assert.equal(await succeeds(theirs, 'inspect', `${address}/team/made:1`, '-f', '{{.Id}}'), id)
  assert.equal(await server.end('SIGINT'), 0)
  for (const root of [ours, theirs]) {
    const { images, faults } = await checkStore(root)
    assert.deepEqual(faults, [])
    assert.equal(images.length, 1)
  }
})

test('a push of Strata’s that is killed goes on where it stopped', async () => {
  const theirs = join(scratch, 'killed')
  const tar = join(scratch, 'large.tar')
  await writeFile(tar, tarOf({ file: randomBytes(12_000_000) }))
  const requests: string[] = []
  await using served = await Served.start({
    writable: true,
    onRequest: ({ method, url, status }) => requests.push(`${method} ${url.replace(/[^/]*$/, '')} ${status}`),
  })
  await succeeds(theirs, 'import', tar, `${served.address}/team/large:1`)
  const push = ['--root', theirs, '--no-fsync', 'push', '-q', '--compression', 'none']
  const killed = spawn(STRATA, [...push, '--limit-rate', '4M', `${served.address}/team/large:1`], { stdio: 'ignore' })
  const directory = join(served.root, 'root', 'ingest')
  const arrived = (): number => Math.max(0, ...readdirSync(directory).map(name => statSync(join(directory, name)).size))
  while (arrived() < 4_000_000) await sleep(20)
  killed.kill('SIGKILL')
  await once(killed, 'exit')
  requests.length = 0
  await succeeds(theirs, ...push.slice(3), `${served.address}/team/large:1`)
  // How far it is was asked, and nothing was begun anew.
  assert.ok(requests.includes('GET /v2/team/large/blobs/uploads/ 204'), requests.join('\n'))
  assert.ok(!requests.some(each => each.startsWith('POST')), requests.join('\n'))
  const [image] = await served.engine.images()
  assert.deepEqual(image?.tags, [`${served.address}/team/large:1`])
})

test('skopeo inspects, lists, copies and syncs', async () => {
  await using served = await Served.start({ writable: true })
  const crafter = new ImageCrafter(served.address, 'team/app')
  const tar = tarOf({ file: randomBytes(100_000) })
  const one = await crafter.image('amd64', [{ tar, compression: 'gzip' }])
  const two = await crafter.image('arm64', [{ tar, compression: 'zstd' }], { architecture: 'arm64' })
  const index = await crafter.index('all', { amd64: one, arm64: two })
  const at = `docker://${served.address}/team/app`
  const inspected = JSON.parse(await must('skopeo', 'inspect', '--tls-verify=false', `${at}:amd64`)) as {
    Digest: string
    RepoTags: string[]
  }
  assert.equal(inspected.Digest, one.digest)
  assert.deepEqual(inspected.RepoTags, ['all', 'amd64', 'arm64'])
  const listed = JSON.parse(await must('skopeo', 'list-tags', '--tls-verify=false', at)) as { Tags: string[] }
  assert.deepEqual(listed.Tags, ['all', 'amd64', 'arm64'])

  const layout = join(scratch, 'layout')
  await must('skopeo', 'copy', '--all', '--src-tls-verify=false', `${at}:all`, `oci:${layout}:all`)
  await must('skopeo', 'copy', '--all', '--dest-tls-verify=false', `oci:${layout}:all`, `docker://${served.address}/copied/app:all`)
  const copied = await served.must(200, 'HEAD', '/v2/copied/app/manifests/all')
  assert.equal(copied.headers.get('docker-content-digest'), index.digest)
  await must(
    'skopeo',
    'copy',
    '--src-tls-verify=false',
    '--dest-tls-verify=false',
    '--format',
    'v2s2',
    `${at}:amd64`,
    `docker://${served.address}/schema2/app:1`,
  )
  assert.equal((await served.must(200, 'HEAD', '/v2/schema2/app/manifests/1')).headers.get('content-type'), MEDIA_TYPES.dockerManifest)
  await must(
    'skopeo',
    'sync',
    '--src',
    'docker',
    '--dest',
    'dir',
    '--src-tls-verify=false',
    `${served.address}/copied/app`,
    join(scratch, 'synced'),
  )
  await must('skopeo', 'delete', '--tls-verify=false', `docker://${served.address}/schema2/app:1`)
  await served.must(404, 'HEAD', '/v2/schema2/app/manifests/1')
  const here = (await served.engine.images()).flatMap(({ tags }) => tags)
  assert.ok(here.includes(`${served.address}/copied/app:all`), here.join(' '))
})

test('images that were made here are served as they are stored, and pushes change no other registry’s names', async () => {
  await using served = await Served.start({ writable: true })
  const tar = tarOf({ file: randomBytes(10_000) })
  await served.engine.import(
    (async function* () {
      yield tar
    })(),
    { reference: 'debian:12' },
  )
  const [before] = await served.engine.images()
  for (const repository of ['debian', 'library/debian']) {
    const answer = await served.must(200, 'GET', `/v2/${repository}/manifests/12`)
    const { layers } = (await answer.json()) as { layers: { digest: string; mediaType: string }[] }
    assert.equal(layers[0]!.mediaType, MEDIA_TYPES.layer)
    const layer = await served.must(200, 'GET', `/v2/${repository}/blobs/${layers[0]!.digest}`)
    assert.ok(Buffer.from(await layer.arrayBuffer()).equals(tar))
    const part = await served.must(206, 'GET', `/v2/${repository}/blobs/${layers[0]!.digest}`, { headers: { range: 'bytes=100-199' } })
    assert.ok(Buffer.from(await part.arrayBuffer()).equals(tar.subarray(100, 200)))
  }
  await served.must(405, 'DELETE', '/v2/debian/manifests/12')
  const pushed = await served.artifact('debian', 'another', {}, '12')
  assert.equal((await served.must(200, 'HEAD', '/v2/debian/manifests/12')).headers.get('docker-content-digest'), pushed.digest)
  assert.notEqual((await served.must(200, 'HEAD', '/v2/library/debian/manifests/12')).headers.get('docker-content-digest'), pushed.digest)
  assert.deepEqual(served.server.hidden, [
    { name: 'docker.io/library/debian:12', servedAs: 'debian:12', hiddenBy: `${served.address}/debian:12` },
  ])
  assert.equal((await served.engine.inspectImage('debian:12')).Id, before!.id)
  await served.must(202, 'DELETE', '/v2/debian/manifests/12')
  assert.deepEqual(served.server.hidden, [])
})
