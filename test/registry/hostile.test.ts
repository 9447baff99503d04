import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { streamOf } from '../../src/base/index.ts'
import { sourceOf } from '../support/blobSources.ts'
import { openEngine } from '../../src/engine/index.ts'
import { describeBytes, digestOf, MEDIA_TYPES, parseReference } from '../../src/oci/index.ts'
import { connectRepository } from '../../src/registry/index.ts'
import { lyingServer } from '../support/lyingServer.ts'
import { tarOf } from '../support/tars.ts'

/* Registries that want more than to give out images. */

let scratch: string
before(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'strata-hostile-registry-'))
})
after(() => rm(scratch, { recursive: true, force: true }))

const TAR = tarOf({ file: 'content' })
const LAYER = gzipSync(TAR)
const CONFIG = Buffer.from(JSON.stringify({ architecture: 'amd64', os: 'linux', rootfs: { type: 'layers', diff_ids: [digestOf(TAR)] } }))
const FOREIGN = 'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip'

/** Gives out one image whose layer is foreign: it says that it is to be had at `url`. */
function foreignImage(url: string, hasLayer: boolean): (request: IncomingMessage, response: ServerResponse) => void {
  const layer = { ...describeBytes(FOREIGN, LAYER), urls: [url] }
  const config = describeBytes(MEDIA_TYPES.dockerConfig, CONFIG)
  const manifest = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: MEDIA_TYPES.dockerManifest, config, layers: [layer] }))
  return (request, response) => {
    const { url: path = '', headers } = request
    if (headers.authorization === undefined) response.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end()
    else if (path.includes('/manifests/')) response.writeHead(200, { 'content-type': MEDIA_TYPES.dockerManifest }).end(manifest)
    else if (path.endsWith(config.digest)) response.end(CONFIG)
    else if (hasLayer && path.endsWith(layer.digest)) response.end(LAYER)
    else response.writeHead(404).end('{"errors":[{"code":"BLOB_UNKNOWN","message":"blob unknown to registry"}]}')
  }
}

test('hostile #56: the urls of a foreign layer are asked for nothing, with or without credentials', async () => {
  for (const hasLayer of [false, true]) {
    const seen: string[] = []
    await using elsewhere = await lyingServer((request, response) => {
      seen.push(`${request.url} ${request.headers.authorization}`)
      response.end(LAYER)
    })
    await using registry = await lyingServer(foreignImage(`http://${elsewhere.address}/layer`, hasLayer))
    const configDirectory = await mkdtemp(join(scratch, 'config-'))
    const auth = Buffer.from('ann:s3cret').toString('base64')
    await writeConfig(configDirectory, { auths: { [registry.address]: { auth } } })
    await using engine = await openEngine({ root: join(configDirectory, 'root'), configDirectory })
    const pulled = engine.pull(`${registry.address}/app:1`)
    if (hasLayer) assert.equal((await pulled).length, 1)
    else {
      await assert.rejects(pulled, (error: Error) => {
        assert.match(error.message, /^Cannot /)
        assert.match(error.message, new RegExp(digestOf(LAYER)))
        assert.doesNotMatch(error.message, /s3cret|YW5u/)
        return true
      })
      assert.deepEqual(await engine.images({ all: true }), [])
    }
    assert.deepEqual(seen, [])
  }
})

async function writeConfig(directory: string, config: object): Promise<void> {
  await writeFile(join(directory, 'config.json'), JSON.stringify(config))
}

/** Listens on all addresses of this machine, and keeps the first line of whatever comes. */
async function listener(): Promise<{ readonly port: number; readonly lines: readonly string[] } & AsyncDisposable> {
  const lines: string[] = []
  const server = createServer(socket => {
    socket.on('error', () => undefined)
    socket.once('data', chunk => {
      const text = chunk.toString('latin1')
      lines.push(/^[A-Z]+ \/\S* HTTP/.test(text) ? text.split('\r\n')[0]! : 'TLS')
      socket.end('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}')
    })
  }).listen(0, '0.0.0.0')
  await once(server, 'listening')
  return {
    port: (server.address() as { port: number }).port,
    lines,
    async [Symbol.asyncDispose]() {
      server.close()
      await once(server, 'close')
    },
  }
}

test('hostile #58: a registry that is not this machine by its name is never spoken to without TLS', async () => {
  await using server = await listener()
  // 0.0.0.0 leads here, but says nothing of the sort.
  for (const access of ['pull', 'push'] as const) {
    await assert.rejects(
      async () => {
        await using repository = await connectRepository(parseReference(`0.0.0.0:${server.port}/app:1`), {
          configDirectory: scratch,
          access,
        })
        await repository.manifest('1')
      },
      { kind: 'unavailable', code: 'STRATA_REGISTRY_NO_TLS' },
    )
  }
  assert.ok(server.lines.length > 0, 'it was reached')
  assert.deepEqual([...new Set(server.lines)], ['TLS'])
})

test('hostile #58: 127.0.0.1 is asked with TLS first, and without only where that is not understood', async () => {
  await using server = await listener()
  await using repository = await connectRepository(parseReference(`127.0.0.1:${server.port}/app:1`), {
    configDirectory: scratch,
    access: 'pull',
  })
  assert.ok(repository.name.startsWith('127.0.0.1:'))
  assert.equal(server.lines[0], 'TLS')
  assert.equal(server.lines.at(-1), 'GET /v2/ HTTP/1.1')
})

test('hostile #57: a redirect goes to no other scheme than https, or http where the registry itself has http', async () => {
  for (const location of ['ftp://127.0.0.1/x', 'file:///etc/passwd', 'javascript:1']) {
    await using server = await lyingServer((_, response) => response.writeHead(307, { location }).end())
    await using repository = await connectRepository(parseReference(`${server.address}/app:1`), {
      configDirectory: scratch,
      access: 'pull',
    })
    await assert.rejects(repository.open(describeBytes(MEDIA_TYPES.layer, TAR)), { code: 'STRATA_REDIRECT_REFUSED' }, location)
  }
})

/** Somewhere that credentials are not for: keeps what they come with, and takes uploads. */
async function bystander(): Promise<Awaited<ReturnType<typeof lyingServer>> & { readonly seen: readonly (string | undefined)[] }> {
  const seen: (string | undefined)[] = []
  const server = await lyingServer((request, response) => {
    seen.push(request.headers.authorization)
    request.resume().on('end', () => response.writeHead(201).end())
  })
  return Object.assign(server, { seen })
}

test('hostile #57: an upload goes where the registry says, and the credentials do not', async () => {
  await using elsewhere = await bystander()
  let isRedirect = false
  const signed: string[] = []
  await using registry = await lyingServer((request, response) => {
    request.resume()
    if (request.headers.authorization === undefined) response.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end()
    else {
      signed.push(request.method!)
      response.writeHead(isRedirect ? 307 : 202, { location: `http://${elsewhere.address}/upload?state=1` }).end()
    }
  })
  const configDirectory = await mkdtemp(join(scratch, 'config-'))
  await writeConfig(configDirectory, { auths: { [registry.address]: { auth: Buffer.from('ann:s3cret').toString('base64') } } })
  await using repository = await connectRepository(parseReference(`${registry.address}/app`), { configDirectory, access: 'push' })
  const target = describeBytes(MEDIA_TYPES.layer, TAR)
  await repository.put(target, sourceOf(TAR))
  assert.deepEqual([signed, elsewhere.seen], [['POST'], [undefined]])
  // Nobody is told by a redirect to send anything, with or without credentials.
  isRedirect = true
  await assert.rejects(repository.put(target, sourceOf(TAR)), { code: 'STRATA_REGISTRY_ANSWER' })
  assert.equal(elsewhere.seen.length, 1)
})

test('hostile #54: what a registry calls a digest and is none is refused, and so are tags that are none', async () => {
  let digest = ''
  let tags: unknown
  const manifest = Buffer.from('{"schemaVersion":2}')
  await using server = await lyingServer((request, response) => {
    if (request.url!.endsWith('/tags/list')) response.end(JSON.stringify({ name: 'app', tags }))
    else response.writeHead(200, { 'content-type': MEDIA_TYPES.manifest, 'docker-content-digest': digest }).end(manifest)
  })
  await using repository = await connectRepository(parseReference(`${server.address}/app`), { configDirectory: scratch, access: 'pull' })
  const own = digestOf(manifest)
  digest = own
  assert.equal((await repository.manifest('1')).descriptor.digest, own)
  for (const wrong of ['sha256:../../x', own.toUpperCase(), own.replace('sha256', 'SHA256'), 'sha1:abc', 'sha256:', 'x', `${own}/..`]) {
    digest = wrong
    await assert.rejects(repository.manifest('1'), { kind: 'invalidArgument' }, wrong)
  }
  tags = ['1', 'ok_2.x']
  assert.deepEqual(await Array.fromAsync(repository.tags()), tags)
  tags = null
  assert.deepEqual(await Array.fromAsync(repository.tags()), [])
  for (const wrong of [['../../x'], ['a', '\u001b[2J'], [''], ['a b'], [1], [null], 'x', {}, ['x'.repeat(200)]]) {
    tags = wrong
    await assert.rejects(Array.fromAsync(repository.tags()), { code: 'STRATA_REGISTRY_ANSWER' }, JSON.stringify(wrong))
  }
})

test('hostile #57: a registry that redirects without end is given up', async () => {
  let asked = 0
  await using server = await lyingServer((request, response) => {
    asked += 1
    response.writeHead(302, { location: `${request.url}x` }).end()
  })
  await using repository = await connectRepository(parseReference(`${server.address}/app:1`), { configDirectory: scratch, access: 'pull' })
  await assert.rejects(repository.open(describeBytes(MEDIA_TYPES.layer, TAR)), { code: 'STRATA_REDIRECT_LOOP' })
  assert.ok(asked < 20)
})

test('hostile #59: what a registry does to a range, an encoding and a length is no way to a wrong blob', async () => {
  const bytes = Buffer.alloc(400_000, 7)
  const target = describeBytes(MEDIA_TYPES.layer, bytes)
  const half = bytes.length / 2
  const partly: Readonly<Record<string, (response: ServerResponse) => void>> = {
    'ignores the range': response => response.end(bytes),
    'gives another range': response =>
      response.writeHead(206, { 'content-range': `bytes 0-${half}/${bytes.length}` }).end(bytes.subarray(0, half)),
    'says that there is no such range': response => response.writeHead(416).end(),
    'packs it': response => response.writeHead(200, { 'content-encoding': 'gzip' }).end(gzipSync(bytes)),
  }
  for (const [title, answer] of Object.entries(partly)) {
    let asked = 0
    await using server = await lyingServer((request, response) => {
      if (request.headers.range !== undefined) answer(response)
      else if ((asked += 1) > 1) response.end(bytes)
      else {
        response.writeHead(200, { 'content-length': bytes.length })
        response.write(bytes.subarray(0, half), () => response.destroy())
      }
    })
    await using repository = await connectRepository(parseReference(`${server.address}/app:1`), {
      configDirectory: scratch,
      access: 'pull',
    })
    const read = async (): Promise<Buffer> => Buffer.concat(await Array.fromAsync(await repository.open(target)))
    if (title === 'packs it') await assert.rejects(read, { name: 'StrataError', message: /^Cannot get sha256:/ }, title)
    else assert.ok((await read()).equals(bytes), title)
  }
})

/** What a registry does in place of an answer. */
const SILENCES: Readonly<Record<string, (request: IncomingMessage) => void>> = {
  'it answers 101': ({ socket }) => void socket.write(SWITCHING),
  'socket hang up': ({ socket }) => void socket.end(),
}
const SWITCHING = 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n'

for (const [said, act] of Object.entries(SILENCES)) {
  test(`hostile #59: a registry that has no answer is told: ${said}`, async () => {
    const sockets = new Set<IncomingMessage['socket']>()
    await using server = await lyingServer(request => {
      sockets.add(request.socket)
      act(request)
    })
    await using repository = await connectRepository(parseReference(`${server.address}/app:1`), {
      configDirectory: scratch,
      access: 'push',
    })
    const unreachable = { code: 'STRATA_REGISTRY_UNREACHABLE', message: `Cannot reach registry "${server.address}": ${said}` }
    await assert.rejects(
      repository.putUnknown(MEDIA_TYPES.layer, async () => streamOf()),
      unreachable,
    )
    assert.ok(sockets.size > 0)
    for (const socket of sockets) if (!socket.closed) await once(socket.resume(), 'close')
  })
}

test('hostile #59: a registry that says again and again that its answer will come is not asked again', async () => {
  let asked = 0
  await using server = await lyingServer(({ socket }) => {
    asked += 1
    socket.write('HTTP/1.1 103 Early Hints\r\n\r\n'.repeat(1000))
  })
  await using repository = await connectRepository(parseReference(`${server.address}/app:1`), { configDirectory: scratch, access: 'pull' })
  await assert.rejects(repository.manifest('1'), { kind: 'unsupported', message: /it answers again and again/ })
  assert.equal(asked, 1)
})

test('hostile #59: a registry that takes an upload before it has come is told its end when all is on its way', async () => {
  const bytes = randomBytes(20_000_000)
  const blob = describeBytes(MEDIA_TYPES.layer, bytes)
  let arrived = 0
  let arrivedAtEnd: number | undefined
  await using server = await lyingServer((request, response) => {
    if (request.method === 'HEAD') response.writeHead(404).end()
    else if (request.method === 'POST') response.writeHead(202, { location: '/v2/app/blobs/uploads/1' }).end()
    else if (request.method === 'PUT') {
      arrivedAtEnd = arrived
      response.writeHead(201).end()
    } else {
      response.writeHead(202, { location: '/v2/app/blobs/uploads/1', 'content-length': 0 }).end()
      request.on('data', (chunk: Buffer) => {
        arrived += chunk.length
        request.pause()
        setTimeout(() => request.resume(), 1)
      })
    }
  })
  await using repository = await connectRepository(parseReference(`${server.address}/app:1`), { configDirectory: scratch, access: 'push' })
  await repository.put(blob, { open: async () => streamOf(...chunksOf(bytes)) })
  // What is in the kernel's buffers of both sides has left us.
  assert.ok(arrivedAtEnd! > bytes.length / 2, `${arrivedAtEnd} bytes had arrived`)
})

function* chunksOf(bytes: Buffer): Generator<Buffer> {
  for (let at = 0; at < bytes.length; at += 65_536) yield bytes.subarray(at, at + 65_536)
}

test('hostile #59: what nobody wants of an answer may break off', async () => {
  await using server = await lyingServer(({ socket }) => {
    socket.write('HTTP/1.1 404 Not Found\r\nContent-Length: 100\r\n\r\n')
    socket.destroySoon()
  })
  await using repository = await connectRepository(parseReference(`${server.address}/app:1`), { configDirectory: scratch, access: 'pull' })
  await assert.rejects(repository.manifest('1'), { code: 'STRATA_NO_SUCH_MANIFEST' })
})

test('hostile #57: a redirect to what is no address is refused', async () => {
  await using server = await lyingServer((_, response) => response.writeHead(307, { location: 'http://[' }).end())
  await using repository = await connectRepository(parseReference(`${server.address}/app:1`), { configDirectory: scratch, access: 'pull' })
  await assert.rejects(repository.manifest('1'), { code: 'STRATA_REDIRECT_REFUSED', message: /"http:\/\/\[" is no address/ })
})
