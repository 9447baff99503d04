import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { type Progress, readAtMost, StrataError, streamOf } from '../../src/base/index.ts'
import { describeBytes, type Digest, MEDIA_TYPES, parseReference } from '../../src/oci/index.ts'
import { connectRepository, type Repository } from '../../src/registry/index.ts'
import { sourceOf } from '../support/blobSources.ts'
import { faultyProxy } from '../support/faultyProxy.ts'
import { lyingServer } from '../support/lyingServer.ts'
import { type LoopbackRegistry, startRegistry } from '../support/loopbackRegistry.ts'

const LAYER = randomBytes(300_000)
const layer = describeBytes(MEDIA_TYPES.layer, LAYER)
const CONFIG = Buffer.from('{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}')
const config = describeBytes(MEDIA_TYPES.config, CONFIG)
const MANIFEST = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: MEDIA_TYPES.manifest, config, layers: [layer] }))
const manifest = { descriptor: describeBytes(MEDIA_TYPES.manifest, MANIFEST), bytes: MANIFEST }

let scratch: string
before(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'strata-repository-'))
})
after(() => rm(scratch, { recursive: true, force: true }))

async function connect(name: string, configDirectory = join(scratch, 'nowhere')): Promise<Repository> {
  return connectRepository(parseReference(name), { configDirectory, access: 'push' })
}

async function configDirectoryWith(config: object): Promise<string> {
  const directory = await mkdtemp(join(scratch, 'config-'))
  await writeFile(join(directory, 'config.json'), JSON.stringify(config))
  return directory
}

const basicAuth = (username: string, password: string): string => Buffer.from(`${username}:${password}`).toString('base64')

describe('a Repository of a real registry', () => {
  let registry: LoopbackRegistry
  before(async () => {
    registry = await startRegistry()
  })
  after(() => registry[Symbol.asyncDispose]())

  test('takes blobs and manifests and gives them back', async () => {
    await using repository = await connect(`${registry.address}/team/app`)
    assert.equal(await repository.has(layer), false)
    await repository.put(layer, sourceOf(LAYER))
    await repository.put(layer, sourceOf(LAYER))
    assert.equal(await repository.has(layer), true)
    assert.deepEqual(await repository.putUnknown(MEDIA_TYPES.config, async () => streamOf(CONFIG)), config)
    await repository.putManifest('1', manifest)
    await repository.putManifest('2', manifest)
    assert.deepEqual(await repository.manifest('1'), manifest)
    assert.deepEqual(await repository.manifest(manifest.descriptor.digest), manifest)
    assert.deepEqual((await Array.fromAsync(repository.tags())).sort(), ['1', '2'])
    assert.ok((await readAtMost(await repository.open(layer), 1e6)).equals(LAYER))
    assert.ok((await readAtMost(await repository.open(layer, { start: 299_000 }), 1e6)).equals(LAYER.subarray(299_000)))
    // The registry itself answers 416 to that.
    assert.equal((await readAtMost(await repository.open(layer, { start: LAYER.length }), 1e6)).length, 0)
  })

  test('mountFrom() takes a blob of a neighbour without its bytes', async () => {
    await using from = await connect(`${registry.address}/from`)
    await from.put(layer, sourceOf(LAYER))
    await using to = await connect(`${registry.address}/to`)
    assert.equal(await to.mountFrom(from.name, layer.digest), true)
    assert.equal(await to.has(layer), true)
  })

  for (const size of [1_000, 2_000_000]) {
    test(`put() of ${size} bytes sends to the upload that came in the place of a mount, and begins one where the registry has forgotten it`, async () => {
      for (const isForgotten of [false, true]) {
        let isBegunAnew = false
        await using network = await faultyProxy(registry.address, {
          fault({ method, path }) {
            if (method === 'POST') isBegunAnew ||= !path.includes('mount=')
            const isUpload = method !== 'POST' && path.includes('/uploads/')
            return isForgotten && isUpload && !isBegunAnew ? { answer: { status: 404 } } : undefined
          },
        })
        await using repository = await connect(`${network.address}/begun`)
        const bytes = randomBytes(size)
        const blob = describeBytes(MEDIA_TYPES.layer, bytes)
        // More than a blob is tried again: all that come in the place of mounts may be forgotten.
        for (let n = 0; n < 8; n += 1) assert.equal(await repository.mountFrom(`${network.address}/nowhere`, blob.digest), false)
        await repository.put(blob, sourceOf(bytes))
        assert.equal(await repository.has(blob), true)
        const begun = network.exchanges.filter(({ method }) => method === 'POST').map(({ path }) => path.includes('mount='))
        assert.deepEqual(begun, [...Array.from({ length: 8 }, () => true), ...(isForgotten ? [false] : [])])
      }
    })
  }

  test('manifest() says what is not there', async () => {
    await using repository = await connect(`${registry.address}/none`)
    await assert.rejects(repository.manifest('1'), { code: 'STRATA_NO_SUCH_MANIFEST' })
  })

  test('open() of a layer that may not be handed on says where its publisher gives it out', async () => {
    await using repository = await connect(`${registry.address}/none`)
    const foreign = { ...layer, mediaType: MEDIA_TYPES.foreignLayerGzip, urls: ['https://maker.invalid/\u001b[31m'] }
    await assert.rejects(repository.open(foreign), {
      kind: 'notFound',
      code: 'STRATA_FOREIGN_LAYER',
      hint: String.raw`Whoever made the image gives it out at "https://maker.invalid/\u001b[31m".`,
    })
    await assert.rejects(repository.open(layer), { code: 'STRATA_REGISTRY_ANSWER' })
  })

  test('put() rejects for bytes that are not what the digest says', async () => {
    await using repository = await connect(`${registry.address}/wrong`)
    await assert.rejects(repository.put(layer, sourceOf(randomBytes(layer.size))))
    assert.equal(await repository.has(layer), false)
  })
})

test('connectRepository() signs in with the credentials of config.json, and only with the right ones', async () => {
  await using registry = await startRegistry({ basic: { username: 'ann', password: 's3cret:x' } })
  const auths = (auth: string): object => ({ auths: { [registry.address]: { auth } } })
  await using repository = await connect(`${registry.address}/app`, await configDirectoryWith(auths(basicAuth('ann', 's3cret:x'))))
  await repository.put(layer, sourceOf(LAYER))
  assert.equal(await repository.has(layer), true)
  await using wrong = await connect(`${registry.address}/app`, await configDirectoryWith(auths(basicAuth('ann', 'guess'))))
  await assert.rejects(wrong.has(layer), error => {
    assert.equal((error as { kind?: string }).kind, 'unauthorized')
    assert.doesNotMatch(JSON.stringify(error) + String(error), /guess/)
    return true
  })
  await using nobody = await connect(`${registry.address}/app`)
  await assert.rejects(nobody.manifest('1'), { kind: 'unauthorized', hint: /^Sign in/ })
  await using copied = await connect(`${registry.address}/app`, await configDirectoryWith({ credsStore: 'elsewhere' }))
  await assert.rejects(copied.manifest('1'), { kind: 'unauthorized', hint: /^The credential helper docker-credential-elsewhere .*login/ })
})

test('connectRepository() rejects when nothing answers', async () => {
  await assert.rejects(connect('127.0.0.1:1/app'), { code: 'STRATA_REGISTRY_UNREACHABLE' })
})

test('open() takes a stream up again where it broke (hostile #59)', async () => {
  const ranges: (string | undefined)[] = []
  await using server = await lyingServer((request, response) => {
    ranges.push(request.headers.range)
    const start = Number(/bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1] ?? 0)
    response.writeHead(start === 0 ? 200 : 206, {
      'content-length': LAYER.length - start,
      'content-range': `bytes ${start}-${LAYER.length - 1}/${LAYER.length}`,
    })
    if (ranges.length < 3) response.write(LAYER.subarray(start, start + 100_000), () => response.destroy())
    else response.end(LAYER.subarray(start))
  })
  await using repository = await connect(`${server.address}/app`)
  assert.ok((await readAtMost(await repository.open(layer), 1e6)).equals(LAYER))
  assert.equal(ranges.length, 3)
  assert.equal(ranges[0], undefined)
  assert.match(ranges[2]!, /^bytes=[1-9]\d+-$/)
})

test('open() rejects for bytes that are not what the digest says, and for too few and too many (hostile #52)', async () => {
  for (const [bytes, code] of [
    [randomBytes(LAYER.length), 'STRATA_DIGEST_MISMATCH'],
    [Buffer.concat([LAYER, LAYER]), 'STRATA_SIZE_MISMATCH'],
  ] as const) {
    await using server = await lyingServer((_, response) => response.end(bytes))
    await using repository = await connect(`${server.address}/app`)
    await assert.rejects(async () => readAtMost(await repository.open(layer), 1e7), { code })
  }
})

test('manifest() rejects for bytes that are not what the digest says (hostile #52)', async () => {
  await using server = await lyingServer((_, response) => {
    response.setHeader('content-type', MEDIA_TYPES.manifest)
    response.setHeader('docker-content-digest', layer.digest)
    response.end(MANIFEST)
  })
  await using repository = await connect(`${server.address}/app`)
  await assert.rejects(repository.manifest('latest'), { code: 'STRATA_DIGEST_MISMATCH' })
  await assert.rejects(repository.manifest(layer.digest), { code: 'STRATA_DIGEST_MISMATCH' })
})

test('manifest() reads no more than its limit (hostile #55)', async () => {
  await using server = await lyingServer((_, response) => {
    response.setHeader('content-type', MEDIA_TYPES.manifest)
    const more = (error?: Error | null): void => {
      if (error === undefined || error === null) response.write(Buffer.alloc(1 << 20, ' '), more)
    }
    more()
  })
  await using repository = await connect(`${server.address}/app`)
  await assert.rejects(repository.manifest('latest'), { code: 'STRATA_TOO_LARGE' })
})

test('credentials do not follow a redirect to another host (hostile #57)', async () => {
  const seen: (string | undefined)[] = []
  await using other = await lyingServer((request, response) => {
    seen.push(request.headers.authorization)
    response.end(LAYER)
  })
  await using server = await lyingServer((request, response) => {
    if (request.headers.authorization === undefined) response.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end()
    else response.writeHead(307, { location: `http://${other.address}/blob` }).end()
  })
  await using repository = await connect(
    `${server.address}/app`,
    await configDirectoryWith({ auths: { [server.address]: { auth: basicAuth('ann', 'pw') } } }),
  )
  assert.ok((await readAtMost(await repository.open(layer), 1e6)).equals(LAYER))
  assert.deepEqual(seen, [undefined])
})

test('a token service gets the credentials once, and its token is used for what follows', async () => {
  const tokenRequests: string[] = []
  await using server = await lyingServer((request, response) => {
    if (request.url!.startsWith('/token')) {
      tokenRequests.push(`${request.url} ${request.headers.authorization}`)
      response.end(JSON.stringify({ token: 'abc', expires_in: 300 }))
    } else if (request.headers.authorization === 'Bearer abc') response.end(LAYER)
    else
      response
        .writeHead(401, {
          'www-authenticate': `Bearer realm="http://${request.headers.host}/token",service="reg",scope="repository:team/app:pull"`,
        })
        .end()
  })
  const directory = await configDirectoryWith({ auths: { [server.address]: { auth: basicAuth('ann', 'pw') } } })
  await using repository = await connect(`${server.address}/team/app`, directory)
  await repository.open(layer).then(bytes => readAtMost(bytes, 1e6))
  await repository.open(layer).then(bytes => readAtMost(bytes, 1e6))
  assert.equal(tokenRequests.length, 1)
  const [asked = ''] = tokenRequests
  assert.match(asked, /service=reg/)
  assert.match(asked, /scope=repository%3Ateam%2Fapp%3Apull/)
  assert.ok(asked.endsWith(`Basic ${basicAuth('ann', 'pw')}`))
})

test('a token service at an unsafe address gets nothing (hostile #57)', async () => {
  await using server = await lyingServer((_, response) =>
    response.writeHead(401, { 'www-authenticate': 'Bearer realm="http://169.254.169.254/token",service="x"' }).end(),
  )
  await using repository = await connect(`${server.address}/app`)
  await assert.rejects(repository.manifest('1'), { code: 'STRATA_TOKEN_REALM' })
})

test('requests are repeated when the registry says "later" (hostile #59)', async () => {
  let asked = 0
  await using server = await lyingServer((_, response) => {
    asked += 1
    if (asked === 1) response.writeHead(429, { 'retry-after': '0' }).end()
    else if (asked === 2) response.writeHead(503).end()
    else response.writeHead(200, { 'content-type': MEDIA_TYPES.manifest }).end(MANIFEST)
  })
  await using repository = await connect(`${server.address}/app`)
  assert.deepEqual(await repository.manifest('1'), manifest)
  assert.equal(asked, 3)
})

test('tags() gives one page after the other, from the registry alone', async () => {
  const elsewhere: string[] = []
  await using other = await lyingServer((request, response) => {
    elsewhere.push(request.url!)
    response.end('{"tags":["no"]}')
  })
  await using server = await lyingServer((request, response) => {
    const last = new URL(request.url!, 'http://x').searchParams.get('last')
    const next: Readonly<Record<string, string>> = {
      start: '</v2/app/tags/list?last=a&n=1>; rel="next"',
      a: `<http://${server.address}/v2/app/tags/list?last=b>; rel=next`,
      b: `<http://${other.address}/v2/app/tags/list>; rel="next"`,
    }
    response.setHeader('link', next[last ?? 'start']!)
    response.end(JSON.stringify({ name: 'app', tags: [`after-${last ?? 'start'}`] }))
  })
  await using repository = await connect(`${server.address}/app`)
  assert.deepEqual(await Array.fromAsync(repository.tags()), ['after-start', 'after-a', 'after-b'])
  assert.deepEqual(elsewhere, [])
})

test('a request that waits for its retry, or whose answer is under way, ends with the reason of its signal', async () => {
  await using server = await lyingServer((request, response) => {
    if (request.url!.includes('/manifests/')) response.writeHead(429, { 'retry-after': '20' }).end()
    else response.writeHead(200, { 'content-length': 300_000 }).write(LAYER.subarray(0, 1000))
  })
  const reason = new StrataError('cancelled', 'STRATA_TERMINATED', 'interrupted by SIGTERM')
  const interrupt = (): AbortSignal => {
    const controller = new AbortController()
    setTimeout(() => controller.abort(reason), 100)
    return controller.signal
  }
  await using repository = await connect(`${server.address}/app`)
  await assert.rejects(repository.manifest('1', { signal: interrupt() }), reason)
  const bytes = await repository.open(layer, { signal: interrupt() })
  await assert.rejects(readAtMost(bytes, LAYER.length), reason)
})

test('a registry that wants to be left alone for long is not waited for, and for a while is told of', async () => {
  let asked = 0
  await using server = await lyingServer((request, response) => {
    asked += 1
    const after = request.url!.endsWith('/long') ? '3600' : asked === 1 ? '3' : '0'
    if (asked === 2) response.writeHead(404).end()
    else response.writeHead(429, { 'retry-after': after }).end()
  })
  await using repository = await connect(`${server.address}/app`)
  const told: Progress[] = []
  await assert.rejects(repository.manifest('1', { onProgress: progress => told.push(progress) }), { code: 'STRATA_NO_SUCH_MANIFEST' })
  assert.deepEqual(told, [{ id: '', status: `Waiting 3 s for registry "${server.address}"` }])
  await assert.rejects(repository.manifest('long'), {
    kind: 'resourceExhausted',
    hint: 'The registry allows no more requests now; try again in 60 minutes.',
  })
  assert.equal(asked, 3)
})

test('a Repository asks for nothing but tags and digests, whatever it is told', async () => {
  const asked: string[] = []
  await using server = await lyingServer((request, response) => {
    asked.push(request.url ?? '')
    response.writeHead(404).end('{}')
  })
  await using repository = await connect(`${server.address}/team/app`)
  for (const name of [
    '..\\..\\..\\api',
    '../x',
    '..',
    '%2e%2e',
    'a?b',
    'a#b',
    'a/b',
    'a b',
    'a\nb',
    '',
    'sha256:ab',
    `${layer.digest}/x`,
  ]) {
    await assert.rejects(repository.manifest(name), { code: 'STRATA_REFERENCE_INVALID' })
    await assert.rejects(repository.putManifest(name, manifest), { code: 'STRATA_REFERENCE_INVALID' })
    await assert.rejects(repository.has({ ...layer, digest: name as Digest }), { code: 'STRATA_REFERENCE_INVALID' })
    await assert.rejects(repository.referrers(name as Digest), { code: 'STRATA_REFERENCE_INVALID' })
  }
  assert.deepEqual(asked, [])
})
