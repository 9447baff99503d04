import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { DiskContentStore } from '../../src/content/index.ts'
import { openEngine, type ServedRequest } from '../../src/engine/index.ts'
import { mount, unmount } from '../../src/host/index.ts'
import { openMetadata, openRootDirectory } from '../../src/metadata/index.ts'
import { type Descriptor, describeBytes, MEDIA_TYPES } from '../../src/oci/index.ts'
import { ImageCrafter } from '../support/craftedImages.ts'
import { startRegistry } from '../support/loopbackRegistry.ts'
import { lyingServer } from '../support/lyingServer.ts'
import { storedFiles } from '../support/storeCheck.ts'
import { tarOf } from '../support/tars.ts'
import { codesOf, Served } from './served.ts'

const bytesOf = async (response: Response): Promise<Buffer> => Buffer.from(await response.arrayBuffer())

const LAYER = randomBytes(3_000_000)
const layer = describeBytes(MEDIA_TYPES.layer, LAYER)
const CONFIG = Buffer.from('{}')
const config = describeBytes(MEDIA_TYPES.empty, CONFIG)
const MANIFEST = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: MEDIA_TYPES.manifest, config, layers: [layer] }))

interface Upstream extends AsyncDisposable {
  readonly address: string
  /** Paths that were asked for. */
  readonly asked: string[]
}

/** An upstream whose blobs come when the test says so. */
async function slowUpstream(sendLayer: (request: IncomingMessage, response: ServerResponse) => void): Promise<Upstream> {
  const asked: string[] = []
  const server = await lyingServer((request, response) => {
    asked.push(`${request.method} ${request.url}`)
    const path = request.url ?? ''
    if (path.includes('/manifests/')) response.writeHead(200, { 'content-type': MEDIA_TYPES.manifest }).end(MANIFEST)
    else if (path.endsWith(config.digest)) response.end(CONFIG)
    else if (path.endsWith(layer.digest)) sendLayer(request, response)
    else response.writeHead(404).end('{}')
  })
  return { address: server.address, asked, [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() }
}

const blobsAsked = ({ asked }: Upstream): number => asked.filter(each => each.endsWith(layer.digest)).length
const LAYER_PATH = `/v2/team/app/blobs/${layer.digest}`

test('a cache gives out what its upstream has, once fetched also without it', async () => {
  await using upstream = await startRegistry()
  const crafter = new ImageCrafter(upstream.address, 'team/app')
  const tar = tarOf({ file: randomBytes(500_000) })
  const one = await crafter.image(undefined, [{ tar, compression: 'gzip' }])
  const two = await crafter.image(undefined, [{ tar, compression: 'none' }], { architecture: 'arm64' })
  const index = await crafter.manifest('1', { schemaVersion: 2, mediaType: MEDIA_TYPES.index, manifests: [one, two] })
  await using served = await Served.start({ upstream: upstream.address })

  const readAll = async (): Promise<void> => {
    const root = await served.must(200, 'GET', '/v2/team/app/manifests/1')
    assert.equal(root.headers.get('docker-content-digest'), index.digest)
    const { manifests } = (await root.json()) as { manifests: Descriptor[] }
    for (const { digest } of manifests) {
      const answer = await served.must(200, 'GET', `/v2/team/app/manifests/${digest}`)
      const { layers, config } = (await answer.json()) as { layers: Descriptor[]; config: Descriptor }
      for (const blob of [config, ...layers]) {
        assert.equal((await served.must(200, 'HEAD', `/v2/team/app/blobs/${blob.digest}`)).headers.get('content-length'), String(blob.size))
        assert.equal(
          describeBytes('', await bytesOf(await served.must(200, 'GET', `/v2/team/app/blobs/${blob.digest}`))).digest,
          blob.digest,
        )
      }
    }
  }
  await readAll()
  assert.deepEqual(await (await served.must(200, 'GET', '/v2/team/app/tags/list')).json(), { name: 'team/app', tags: ['1'] })
  assert.deepEqual(await codesOf(await served.must(404, 'GET', '/v2/team/app/manifests/none')), ['MANIFEST_UNKNOWN'])
  assert.deepEqual(await codesOf(await served.must(404, 'GET', '/v2/no/such/manifests/1')), ['MANIFEST_UNKNOWN'])
  await upstream[Symbol.asyncDispose]()
  await readAll()
  // The next server does not know when it asked last.
  await served.restart({ upstream: upstream.address })
  await readAll()
  assert.deepEqual(await (await served.must(200, 'GET', '/v2/team/app/tags/list')).json(), { name: 'team/app', tags: ['1'] })
  await served.must(503, 'GET', '/v2/team/other/manifests/1')
  await served.engine.pruneImages()
  await readAll()
})

test('a cache asks again what a tag stands for, and gives out nothing that was made here', async () => {
  await using upstream = await startRegistry()
  const crafter = new ImageCrafter(upstream.address, 'team/app')
  const before = await crafter.image('1', [{ tar: tarOf({ a: 'a' }), compression: 'gzip' }])
  await using served = await Served.start({ upstream: upstream.address })
  await served.engine.pull(`${upstream.address}/team/app:1`)
  await served.engine.tag(`${upstream.address}/team/app:1`, 'team/own:1')
  await served.must(404, 'GET', '/v2/team/own/manifests/1')
  assert.deepEqual(await (await served.must(200, 'GET', '/v2/_catalog')).json(), { repositories: ['team/app'] })
  const digestNow = async (): Promise<string | null> =>
    (await served.must(200, 'HEAD', '/v2/team/app/manifests/1')).headers.get('docker-content-digest')
  assert.equal(await digestNow(), before.digest)
  const after = await crafter.image('1', [{ tar: tarOf({ b: 'b' }), compression: 'gzip' }])
  // Half a minute is not waited for.
  assert.equal(await digestNow(), before.digest)
  await served.restart({ upstream: upstream.address })
  assert.equal(await digestNow(), after.digest)
  // What the name stands for on this machine is its user's business.
  const image = (await served.engine.images()).find(({ tags }) => tags.includes(`${upstream.address}/team/app:1`))
  assert.deepEqual(image?.digests, [`${upstream.address}/team/app@${before.digest}`])
})

test('a cache tells what is said about an image, and gives it out', async () => {
  await using upstream = await Served.start({ writable: true })
  await using served = await Served.start({ upstream: upstream.address })
  const subject = await upstream.artifact('team/app', 'subject', {}, '1')
  const referrer = await upstream.artifact('team/app', 'said', { subject, artifactType: 'application/said' })
  const listed = async (): Promise<unknown> =>
    ((await (await served.must(200, 'GET', `/v2/team/app/referrers/${subject.digest}`)).json()) as { manifests: unknown }).manifests
  const expected = [{ ...referrer, artifactType: 'application/said' }]
  assert.deepEqual(await listed(), expected)
  await served.must(200, 'GET', `/v2/team/app/manifests/${referrer.digest}`)
  await upstream.server.close()
  assert.deepEqual(await listed(), expected)
  await served.must(200, 'GET', `/v2/team/app/manifests/${referrer.digest}`)
})

test('what a cache has is counted, is no artifact, and goes with prune --all', async () => {
  await using upstream = await startRegistry()
  const crafter = new ImageCrafter(upstream.address, 'team/app')
  const tar = tarOf({ file: randomBytes(100_000) })
  const one = await crafter.image(undefined, [{ tar, compression: 'gzip' }])
  const two = await crafter.image('two', [{ tar, compression: 'none' }], { architecture: 'arm64' })
  await crafter.manifest('1', { schemaVersion: 2, mediaType: MEDIA_TYPES.index, manifests: [one, two] })
  await using served = await Served.start({ upstream: upstream.address })
  const { engine } = served
  const fetchImage = async (at: string): Promise<void> => {
    const { layers, config } = (await (await served.must(200, 'GET', `/v2/team/app/manifests/${at}`)).json()) as {
      layers: Descriptor[]
      config: Descriptor
    }
    for (const { digest } of [config, ...layers]) await bytesOf(await served.must(200, 'GET', `/v2/team/app/blobs/${digest}`))
  }
  const fetchAll = async (): Promise<void> => {
    await served.must(200, 'GET', '/v2/team/app/manifests/1')
    await fetchImage(one.digest)
    await fetchImage('two')
  }
  const name = (rest: string): string => `${served.address}/team/app${rest}`
  await fetchAll()
  const { cache } = await engine.diskUsage()
  assert.deepEqual(
    cache.names.map(each => each.name),
    [name(':1'), name(':two')],
  )
  assert.ok(cache.bytes > 200_000 && cache.reclaimableBytes === cache.bytes)
  assert.deepEqual([await engine.artifacts(), await engine.images({ all: true })], [[], []])
  // What a tag leads to stays without --all.
  assert.deepEqual((await engine.pruneImages()).removed, [])
  const { removed, reclaimedBytes } = await engine.pruneImages({ all: true })
  assert.ok(removed.some(each => each.kind === 'untagged' && each.name === name(':1')))
  assert.equal(reclaimedBytes, cache.bytes)
  assert.deepEqual(storedFiles(join(served.root, 'root')), [])
  assert.deepEqual((await engine.diskUsage()).cache.names, [])

  // It fetches again. What the names of tags led to goes with them, digests too.
  await fetchAll()
  await engine.removeImage(name(':1'))
  await served.must(200, 'GET', `/v2/team/app/manifests/${two.digest}`)
  await engine.removeImage(name(':two'))
  assert.deepEqual(storedFiles(join(served.root, 'root')), [])

  // What was asked for by digest alone is seen, and goes by that or with any prune.
  await fetchImage(one.digest)
  await fetchImage(two.digest)
  const [first, second] = [name(`@${one.digest}`), name(`@${two.digest}`)].sort()
  const seen = (await engine.diskUsage()).cache.names.map(each => each.name)
  assert.deepEqual(seen, [first, second])
  await engine.removeImage(first!)
  const pruned = await engine.pruneImages()
  assert.deepEqual(
    pruned.removed.flatMap(each => (each.kind === 'untagged' ? [each.name] : [])),
    [second],
  )
  assert.deepEqual(storedFiles(join(served.root, 'root')), [])
})

test('what an image needs that was pulled stays when a cache is pruned that has it, too', async () => {
  await using upstream = await startRegistry()
  const crafter = new ImageCrafter(upstream.address, 'team/app')
  const image = await crafter.image('1', [{ tar: tarOf({ file: randomBytes(10_000) }), compression: 'gzip' }])
  const tag = `${image.digest.replace(':', '-')}.sig`
  await crafter.image(tag, [{ tar: tarOf({ signed: 'x' }), compression: 'gzip' }])
  await using served = await Served.start({ upstream: upstream.address })
  const pulled = `${upstream.address}/team/app:1`
  await served.engine.pull(pulled)
  const before = storedFiles(join(served.root, 'root'))
  for (const at of ['1', tag]) await served.must(200, 'GET', `/v2/team/app/manifests/${at}`)
  assert.equal((await served.engine.diskUsage()).cache.reclaimableBytes, 0)
  await served.engine.pruneImages({ all: true, until: new Date(0) })
  assert.equal((await served.engine.diskUsage()).cache.names.length, 2)
  await served.engine.removeImage(`${served.address}/team/app:1`)
  await served.engine.removeImage(`${served.address}/team/app:${tag}`)
  assert.deepEqual(storedFiles(join(served.root, 'root')), before)
  assert.equal((await served.engine.referrers(pulled)).length, 1)
})

test('many clients of one blob are one download, also those that join in the middle', async () => {
  const halfSent = Promise.withResolvers<void>()
  const goOn = Promise.withResolvers<void>()
  await using upstream = await slowUpstream((_, response) => {
    response.writeHead(200, { 'content-length': LAYER.length })
    response.write(LAYER.subarray(0, 2_000_000), () => halfSent.resolve())
    void goOn.promise.then(() => response.end(LAYER.subarray(2_000_000)))
  })
  await using served = await Served.start({ upstream: upstream.address })
  await served.must(200, 'GET', '/v2/team/app/manifests/1')
  const early = [served.must(200, 'GET', LAYER_PATH), served.must(200, 'GET', LAYER_PATH)]
  await halfSent.promise
  const first = (await early[0]!).body!.getReader()
  // Bytes come before upstream has sent the rest.
  let read = 0
  while (read < 1_000_000) read += (await first.read()).value!.length
  const late = served.must(200, 'GET', LAYER_PATH)
  const part = served.must(206, 'GET', LAYER_PATH, { headers: { range: 'bytes=1000000-1500000' } })
  assert.ok((await bytesOf(await part)).equals(LAYER.subarray(1_000_000, 1_500_001)))
  const tail = served.must(206, 'GET', LAYER_PATH, { headers: { range: 'bytes=-100' } })
  goOn.resolve()
  for (const answer of [early[1]!, late]) assert.ok((await bytesOf(await answer)).equals(LAYER))
  assert.ok((await bytesOf(await tail)).equals(LAYER.subarray(-100)))
  for (let isDone = false; !isDone;) {
    const { done, value } = await first.read()
    isDone = done
    read += value?.length ?? 0
  }
  assert.equal(read, LAYER.length)
  assert.equal(blobsAsked(upstream), 1)
  assert.ok((await bytesOf(await served.must(200, 'GET', LAYER_PATH))).equals(LAYER))
  assert.equal(blobsAsked(upstream), 1)
})

test('a blob of upstream that is not what its digest says never arrives whole, and is not kept (hostile #52)', async () => {
  let isHonest = false
  await using upstream = await slowUpstream((_, response) => {
    const bytes = Buffer.from(LAYER)
    if (!isHonest) bytes[100] = bytes[100]! ^ 1
    response.writeHead(200, { 'content-length': LAYER.length }).end(bytes)
  })
  await using served = await Served.start({ upstream: upstream.address })
  await served.must(200, 'GET', '/v2/team/app/manifests/1')
  await assert.rejects(async () => bytesOf(await served.request('GET', LAYER_PATH)))
  isHonest = true
  assert.ok((await bytesOf(await served.must(200, 'GET', LAYER_PATH))).equals(LAYER))
})

test('a mirror of upstream that lies is asked for nothing more (hostile #52)', async () => {
  const whole = (response: ServerResponse, bytes: Buffer): void =>
    void response.writeHead(200, { 'content-length': bytes.length }).end(bytes)
  await using liar = await slowUpstream((_, response) => whole(response, randomBytes(LAYER.length)))
  await using upstream = await slowUpstream((_, response) => whole(response, LAYER))
  const configuration = join(await mkdtemp(join(tmpdir(), 'strata-mirrored-')), 'registries.conf')
  const mirrors = `[[registry]]\nlocation = "${upstream.address}"\n[[registry.mirror]]\nlocation = "${liar.address}"\n`
  await writeFile(configuration, mirrors)
  process.env['CONTAINERS_REGISTRIES_CONF'] = configuration
  try {
    await using served = await Served.start({ upstream: upstream.address })
    await served.must(200, 'GET', '/v2/team/app/manifests/1')
    await assert.rejects(async () => bytesOf(await served.request('GET', LAYER_PATH)))
    assert.equal(blobsAsked(upstream), 0)
    assert.ok((await bytesOf(await served.must(200, 'GET', LAYER_PATH))).equals(LAYER))
    const before = liar.asked.length
    await served.must(200, 'GET', `/v2/team/app/blobs/${config.digest}`)
    assert.equal(liar.asked.length, before)
  } finally {
    delete process.env['CONTAINERS_REGISTRIES_CONF']
    await rm(dirname(configuration), { recursive: true })
  }
})

test('a download that the server’s end interrupts is gone on with by the next one', async () => {
  const ranges: (string | undefined)[] = []
  await using upstream = await slowUpstream((request, response) => {
    ranges.push(request.headers.range)
    const start = Number(/bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1] ?? 0)
    response.writeHead(start === 0 ? 200 : 206, {
      'content-length': LAYER.length - start,
      'content-range': `bytes ${start}-${LAYER.length - 1}/${LAYER.length}`,
    })
    if (ranges.length === 1) response.write(LAYER.subarray(0, 1_500_000))
    else response.end(LAYER.subarray(start))
  })
  await using served = await Served.start({ upstream: upstream.address })
  await served.must(200, 'GET', '/v2/team/app/manifests/1')
  const cut = await served.must(200, 'GET', LAYER_PATH)
  const reader = cut.body!.getReader()
  let read = 0
  while (read < 1_000_000) read += (await reader.read()).value!.length
  await reader.cancel()
  await served.restart({ upstream: upstream.address })
  assert.ok((await bytesOf(await served.must(200, 'GET', LAYER_PATH))).equals(LAYER))
  assert.equal(ranges.length, 2)
  assert.match(ranges[1]!, /^bytes=[1-9]\d{5,}-$/)
})

test('an upstream that refuses or cannot be had is told as such', async () => {
  for (const [status, expected] of [
    [401, 403],
    [403, 403],
    [404, 404],
  ] as const) {
    await using upstream = await lyingServer((_, response) => response.writeHead(status).end('{}'))
    await using served = await Served.start({ upstream: upstream.address })
    await served.must(expected, 'GET', '/v2/team/app/manifests/1')
    await served.must(404, 'GET', `/v2/team/app/blobs/${layer.digest}`)
  }
})

test('while upstream allows no more requests, what it last had is given out (hostile #59)', async () => {
  let status = 200
  await using upstream = await lyingServer((request, response) => {
    if (status !== 200) response.writeHead(status, { 'retry-after': '0' }).end('{}')
    else if (request.url!.includes('/tags/')) response.end('{"tags":["1","2"]}')
    else response.writeHead(200, { 'content-type': MEDIA_TYPES.manifest }).end(MANIFEST)
  })
  await using served = await Served.start({ upstream: upstream.address })
  await served.must(200, 'GET', '/v2/team/app/manifests/1')
  status = 429
  await served.restart({ upstream: upstream.address })
  await served.must(200, 'GET', '/v2/team/app/manifests/1')
  assert.deepEqual(await (await served.must(200, 'GET', '/v2/team/app/tags/list')).json(), { name: 'team/app', tags: ['1'] })
  assert.deepEqual(await codesOf(await served.must(429, 'GET', '/v2/team/app/manifests/2')), ['TOOMANYREQUESTS'])
})

test('clients of a cache choose no path of upstream but those of tags, manifests and blobs', async () => {
  await using upstream = await slowUpstream((_, response) => response.end(LAYER))
  await using served = await Served.start({ upstream: upstream.address })
  const names = [
    '..%5c..%5c..%5capi%5cv2.0%5cusers%3fpage=1',
    '..%5cx',
    '%2e%2e',
    '.',
    '%252e%252e',
    'a%3fb',
    'a%23b',
    'a%25b',
    'a%0ab',
    '-a',
    'sha256:ab',
  ]
  for (const reference of [...names, 'a'.repeat(129), `sha256:${'A'.repeat(64)}`])
    for (const method of ['GET', 'HEAD'])
      for (const kind of ['manifests', 'blobs', 'referrers']) {
        const { status } = await served.request(method, `/v2/team/app/${kind}/${reference}`)
        assert.ok(status === 404 || status === 400, `${method} ${kind}/${reference}: ${status}`)
      }
  for (const name of ['..%5c..', 'a%5cb', 'a%3fb', 'a/..%2fb', 'a%23b', 'a%252fb']) {
    await served.must(400, 'GET', `/v2/${name}/tags/list`)
    await served.must(400, 'GET', `/v2/${name}/manifests/1`)
  }
  assert.deepEqual(upstream.asked, [])
})

test('a cache is not its own upstream, and caches of each other do not ask for ever', async () => {
  await using one = await Served.start()
  for (const host of ['127.0.0.1', 'localhost']) {
    const upstream = `${host}:${one.server.url.port}`
    await assert.rejects(one.engine.serve({ listen: one.address, upstream }), { code: 'STRATA_UPSTREAM_INVALID' })
  }
  await using two = await Served.start({ upstream: one.address })
  await one.restart({ upstream: two.address })
  const before = Date.now()
  const paths = [
    '/v2/team/app/manifests/1',
    '/v2/team/app/manifests/1',
    `/v2/team/app/manifests/${layer.digest}`,
    '/v2/team/app/tags/list',
    `/v2/team/app/referrers/${layer.digest}`,
  ]
  const statuses = await Promise.all([one, two].flatMap(served => paths.map(async path => (await served.request('GET', path)).status)))
  assert.ok(Date.now() - before < 3000)
  for (const status of statuses.filter((_, position) => position % paths.length < 3)) assert.equal(status, 404)
})

test('who pulls through the cache of the same store is not waited for, and gets no wrong bytes', async () => {
  await using upstream = await startRegistry()
  const crafter = new ImageCrafter(upstream.address, 'team/app')
  await crafter.image('1', [{ tar: tarOf({ file: randomBytes(500_000) }), compression: 'gzip' }])
  await using served = await Served.start({ upstream: upstream.address })
  await using puller = await openEngine({ root: join(served.root, 'root'), fsync: false, configDirectory: '/nonexistent' })
  await puller.pull(`${served.address}/team/app:1`, { signal: AbortSignal.timeout(10_000) })
  assert.equal((await puller.images()).length, 1)

  let isHonest = false
  await using liar = await slowUpstream((request, response) => {
    const start = Number(/bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1] ?? 0)
    const bytes = Buffer.from(LAYER)
    if (!isHonest) bytes[100] = bytes[100]! ^ 1
    response.writeHead(start === 0 ? 200 : 206, { 'content-range': `bytes ${start}-${LAYER.length - 1}/${LAYER.length}` })
    response.end(bytes.subarray(start))
  })
  await using stores = await Served.start({ upstream: liar.address })
  await stores.must(200, 'GET', '/v2/team/app/manifests/1')
  const root = join(stores.root, 'root')
  using metadata = openMetadata(openRootDirectory(root))
  const content = new DiskContentStore({ root, metadata })
  await using _ingest = await content.ingest(layer.digest, { target: layer })
  await assert.rejects(async () => bytesOf(await stores.request('GET', LAYER_PATH)))
  isHonest = true
  assert.ok((await bytesOf(await stores.must(200, 'GET', LAYER_PATH))).equals(LAYER))
  const part = await stores.must(206, 'GET', LAYER_PATH, { headers: { range: 'bytes=1000-1999' } })
  assert.ok((await bytesOf(part)).equals(LAYER.subarray(1000, 2000)))
})

test('a client that leaves does not end the download', async () => {
  await using upstream = await slowUpstream((_, response) => response.writeHead(200, { 'content-length': LAYER.length }).end(LAYER))
  await using served = await Served.start({ upstream: upstream.address })
  await served.must(200, 'GET', '/v2/team/app/manifests/1')
  const gone = new AbortController()
  const left = await fetch(new URL(LAYER_PATH, served.server.url), { signal: gone.signal })
  await left.body!.getReader().read()
  gone.abort()
  assert.ok((await bytesOf(await served.must(200, 'GET', LAYER_PATH))).equals(LAYER))
  assert.equal(blobsAsked(upstream), 1)
})

test('a client that leaves before its answer is told of as one without', async () => {
  const asked = Promise.withResolvers<void>()
  const goOn = Promise.withResolvers<void>()
  await using upstream = await lyingServer((request, response) => {
    if (!request.url!.includes('/manifests/')) {
      response.end('{}')
      return
    }
    asked.resolve()
    void goOn.promise.then(() => response.writeHead(200, { 'content-type': MEDIA_TYPES.manifest }).end(MANIFEST))
  })
  const told = Promise.withResolvers<ServedRequest>()
  await using served = await Served.start({ upstream: upstream.address, onRequest: told.resolve })
  const socket = connect(Number(served.server.url.port), '127.0.0.1')
  socket.write('HEAD /v2/team/app/manifests/1 HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n')
  await asked.promise
  socket.resetAndDestroy()
  // The server must have seen it.
  await sleep(100)
  goOn.resolve()
  const { status, bytes } = await told.promise
  assert.deepEqual([status, bytes], [undefined, 0])
})

const skip = process.getuid?.() !== 0 && 'mounting a tmpfs needs root'
for (const when of ['for the first time', 'again'])
  test(`a cache that has filled its disk can be pruned ${when}`, { skip }, async () => {
    await using upstream = await startRegistry()
    await new ImageCrafter(upstream.address, 'team/app').image('1', [{ tar: tarOf({ file: randomBytes(100_000) }), compression: 'gzip' }])
    const disk = await mkdtemp(join(tmpdir(), 'strata-full-'))
    mount({ type: 'tmpfs', source: 'tmpfs', options: ['size=8m'] }, disk)
    try {
      await using engine = await openEngine({ root: join(disk, 'root'), fsync: false })
      await using server = await engine.serve({ listen: ':0', upstream: upstream.address })
      assert.equal((await fetch(new URL('/v2/team/app/manifests/1', server.url))).status, 200)
      if (when === 'again') await engine.pruneImages()
      await assert.rejects(writeFile(join(disk, 'rest'), Buffer.alloc(10_000_000)), { code: 'ENOSPC' })
      assert.notDeepEqual((await engine.pruneImages({ all: true })).removed, [])
      assert.deepEqual(storedFiles(join(disk, 'root')), [])
    } finally {
      unmount(disk)
      await rm(disk, { recursive: true })
    }
  })

test('the upstream of a cache is reached as the configuration of its engine says', async () => {
  await using upstream = await startRegistry()
  await new ImageCrafter(upstream.address, 'team/app').image('1', [{ tar: tarOf({ file: 'file' }), compression: 'gzip' }])
  const systemDirectory = await mkdtemp(join(tmpdir(), 'strata-etc-'))
  try {
    await mkdir(join(systemDirectory, 'containers'))
    const settings = `[[registry]]\nprefix = "far.example"\nlocation = "${upstream.address}"\ninsecure = true\n`
    await writeFile(join(systemDirectory, 'containers/registries.conf'), settings)
    await using served = await Served.start({ upstream: 'far.example' }, { systemDirectory })
    assert.equal((await served.request('GET', '/v2/team/app/manifests/1')).status, 200)
  } finally {
    await rm(systemDirectory, { recursive: true })
  }
})
