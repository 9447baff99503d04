import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { mkdtemp } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { type Engine, openEngine } from '../../src/engine/index.ts'
import { CURRENT_DIRECTORY, removeTree } from '../../src/host/index.ts'
import { type Descriptor, describeBytes, MEDIA_TYPES, parseReference } from '../../src/oci/index.ts'
import { connectRepository, type Repository } from '../../src/registry/index.ts'
import { createLogger, readAtMost } from '../../src/base/index.ts'
import { must } from '../support/commands.ts'
import { ImageCrafter } from '../support/craftedImages.ts'
import { lyingServer } from '../support/lyingServer.ts'
import { type LoopbackRegistry, startRegistry } from '../support/loopbackRegistry.ts'
import { type MachineFiles, machineFiles } from '../support/machineFiles.ts'
import { tarOf } from '../support/tars.ts'

/** Nobody listens there. */
const DEAD = '127.0.0.1:1'

let scratch: string
let registry: LoopbackRegistry
let manifest: Descriptor
let blob: Descriptor
const BLOB = randomBytes(2_000_000)
const INDEX = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: MEDIA_TYPES.index, manifests: [] }))
const index = { descriptor: describeBytes(MEDIA_TYPES.index, INDEX), bytes: INDEX }

before(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'strata-mirrors-'))
  registry = await startRegistry()
  for (const path of ['app', 'proxy/team/app', 'library/app']) {
    const crafter = new ImageCrafter(registry.address, path)
    manifest = await crafter.image('1', [{ tar: tarOf({ file: BLOB }), compression: 'gzip' }])
    blob = await crafter.blob(MEDIA_TYPES.layer, BLOB)
  }
})
after(async () => {
  await registry[Symbol.asyncDispose]()
  await removeTree(CURRENT_DIRECTORY, scratch)
})

interface Asked {
  readonly method: string
  readonly url: string
  readonly headers: IncomingMessage['headers']
}

/** A mirror that has what the registry has, and notes what it is asked for; `instead` answers a request otherwise, and says so. */
async function mirror(
  instead: (request: IncomingMessage, response: ServerResponse) => boolean = () => false,
): Promise<{ readonly address: string; readonly asked: readonly Asked[] } & AsyncDisposable> {
  const asked: Asked[] = []
  const server = await lyingServer((request, response) => {
    const { method = '', url = '', headers } = request
    asked.push({ method, url, headers })
    if (!instead(request, response)) void relay(request, response)
  })
  return { ...server, asked, [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() }
}

async function relay(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { accept = '', range } = request.headers
  const method = request.method ?? 'GET'
  const answer = await fetch(`http://${registry.address}${request.url}`, {
    method,
    headers: { accept, ...(range === undefined ? {} : { range }) },
  })
  response.writeHead(answer.status, Object.fromEntries(answer.headers))
  response.end(Buffer.from(await answer.arrayBuffer()))
}

/** Answers the requests that it applies to, and leaves the others. */
const answers =
  (answer: (response: ServerResponse) => void, applies: (request: IncomingMessage) => boolean = () => true) =>
  (request: IncomingMessage, response: ServerResponse): boolean => {
    if (!applies(request)) return false
    answer(response)
    return true
  }

const lacksAll = answers(response => response.writeHead(404).end())
const wantsCredentials = answers(
  response => response.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end(),
  ({ headers }) => headers.authorization === undefined,
)

const isBlob = ({ url = '' }: IncomingMessage): boolean => url.includes(`/blobs/${blob.digest}`)
const givesWrongBlob = answers(response => response.end(randomBytes(BLOB.length)), isBlob)

/** After half of the blob. */
function breaksOff(response: ServerResponse): void {
  response.writeHead(200, { 'content-length': BLOB.length })
  response.write(BLOB.subarray(0, BLOB.length / 2), () => response.destroy())
}

const registriesConf = (text: string): Promise<MachineFiles> => machineFiles(scratch, { 'etc/containers/registries.conf': text })

/** A table for the repositories of a registry, with mirrors. */
function tableOf(location: string, mirrors: readonly string[], more = ''): string {
  const tables = mirrors.map(address => `[[registry.mirror]]\nlocation = "${address}"\n`)
  return `[[registry]]\nlocation = "${location}"\n${more}\n${tables.join('')}`
}

async function reading<Result>(name: string, files: MachineFiles, use: (repository: Repository) => Promise<Result>): Promise<Result> {
  await using repository = await connectRepository(parseReference(name), { ...files, access: 'pull' })
  return await use(repository)
}

const readBlob = async (repository: Repository): Promise<Buffer> => readAtMost(await repository.open(blob), 1e7)

async function pull(name: string, files: MachineFiles): Promise<{ readonly name: string; readonly manifestDigest: string }> {
  await using engine = await openEngine({ root: await mkdtemp(join(scratch, 'root-')), fsync: false, ...files })
  const [pulled] = await engine.pull(name)
  const { RepoDigests } = await engine.inspectImage(name)
  assert.deepEqual(RepoDigests, [`${name.replace(/:1$/, '')}@${pulled!.manifestDigest}`])
  return pulled!
}

describe('registries.conf', () => {
  test('a mirror gives an image under the name of its registry, which need not be there', async () => {
    const files = await registriesConf(tableOf(`${DEAD}/team`, [`${registry.address}/proxy/team`]))
    const pulled = await pull(`${DEAD}/team/app:1`, files)
    assert.deepEqual([pulled.name, pulled.manifestDigest], [`${DEAD}/team/app:1`, manifest.digest])
  })

  test('the next mirror is asked where one is not there or lacks the thing, and the registry last', async () => {
    await using lacking = await mirror(lacksAll)
    await using failing = await mirror(answers(response => response.writeHead(500).end()))
    await using refusing = await mirror(wantsCredentials)
    const files = await registriesConf(tableOf(registry.address, [DEAD, lacking.address, failing.address, refusing.address]))
    assert.equal((await pull(`${registry.address}/app:1`, files)).manifestDigest, manifest.digest)
    // To lack something is no failure; who has failed is not asked before the registry again.
    assert.ok(lacking.asked.length > 1)
    assert.equal(failing.asked.length, 1)
    assert.equal(refusing.asked.length, 1)
  })

  test('the location of a registry stands for it, and the rest of the name stays', async () => {
    const files = await registriesConf(`[[registry]]\nprefix = "app.example/x"\nlocation = "${registry.address}/proxy"\n`)
    assert.equal((await pull('app.example/x/team/app:1', files)).name, 'app.example/x/team/app:1')
    const wild = await registriesConf(`[[registry]]\nprefix = "*.example"\nlocation = "${registry.address}/proxy/team"\n`)
    assert.equal((await pull('a.b.example/app:1', wild)).manifestDigest, manifest.digest)
    const tags = await reading('app.example/x/team/app', files, repository => Array.fromAsync(repository.tags()))
    assert.deepEqual(tags, ['1'])
  })

  test('mirror-by-digest-only and pull-from-mirror say which names a mirror is asked for', async () => {
    for (const [more, mirrored, askedByTag, askedByDigest] of [
      ['mirror-by-digest-only = true', '', false, true],
      ['', 'pull-from-mirror = "digest-only"', false, true],
      ['', 'pull-from-mirror = "tag-only"', true, false],
      ['', 'pull-from-mirror = "all"', true, true],
    ] as const) {
      await using seen = await mirror()
      const files = await registriesConf(`${tableOf(registry.address, [seen.address], more)}${mirrored}\n`)
      await reading(`${registry.address}/app:1`, files, repository => repository.manifest('1'))
      assert.equal(seen.asked.length > 0, askedByTag, more + mirrored)
      const before = seen.asked.length
      await reading(`${registry.address}/app@${manifest.digest}`, files, repository => repository.manifest(manifest.digest))
      assert.equal(seen.asked.length > before, askedByDigest, more + mirrored)
    }
  })

  test('what is blocked is neither pulled nor pushed, and nobody is asked', async () => {
    await using seen = await mirror()
    const files = await registriesConf(
      `${tableOf(seen.address, [], 'blocked = true')}\n[[registry]]\nlocation = "${registry.address}/open"\n[[registry]]\nlocation = "${registry.address}"\nblocked = true\n`,
    )
    for (const name of [`${seen.address}/app:1`, `${registry.address}/app:1`])
      for (const access of ['pull', 'push'] as const)
        await assert.rejects(connectRepository(parseReference(name), { ...files, access }), {
          kind: 'permissionDenied',
          code: 'STRATA_REGISTRY_BLOCKED',
          message: /is blocked$/,
        })
    await reading(`${registry.address}/open/app`, files, async () => undefined)
    assert.deepEqual(seen.asked, [])
  })

  test('mirrors are not pushed to', async () => {
    await using seen = await mirror()
    const files = await registriesConf(tableOf(registry.address, [seen.address]))
    await using repository = await connectRepository(parseReference(`${registry.address}/pushed`), { ...files, access: 'push' })
    assert.equal(await repository.has(index.descriptor), false)
    await repository.putManifest('1', index)
    assert.equal(await repository.has(index.descriptor), true)
    assert.deepEqual(seen.asked, [])
  })

  test('of a file that cannot be understood nothing is used', async () => {
    for (const text of ['[[registry', '[[registry]]\nblocked = "yes"\nlocation = "x.example"', '[[registry]]\n', 'registry = 1'])
      await assert.rejects(pull(`${registry.address}/app:1`, await registriesConf(text)), { code: 'STRATA_CONFIG_INVALID' }, text)
  })
})

describe('hostile: mirrors that lie', () => {
  async function pullPast(instead: Parameters<typeof mirror>[0]): Promise<readonly Asked[]> {
    await using liar = await mirror(instead)
    const files = await registriesConf(tableOf(registry.address, [liar.address]))
    assert.equal((await pull(`${registry.address}/app:1`, files)).manifestDigest, manifest.digest)
    assert.ok(liar.asked.length > 0)
    return liar.asked
  }

  test('#52: a manifest that is not what its digest says is taken from the next', async () => {
    const other = JSON.stringify({ schemaVersion: 2, mediaType: MEDIA_TYPES.manifest, config: blob, layers: [] })
    const gives = (headers: Readonly<Record<string, string>>): Parameters<typeof mirror>[0] =>
      answers(
        response => response.writeHead(200, { 'content-type': MEDIA_TYPES.manifest, ...headers }).end(other),
        ({ url = '' }) => url.includes('/manifests/'),
      )
    await pullPast(gives({ 'docker-content-digest': manifest.digest }))
    await using liar = await mirror(gives({}))
    const files = await registriesConf(tableOf(registry.address, [liar.address]))
    const found = await reading(`${registry.address}/app`, files, repository => repository.manifest(manifest.digest))
    assert.equal(found.descriptor.digest, manifest.digest)
  })

  test('#52: blobs with other bytes, too many and too few are taken from the next', async () => {
    const lies: Readonly<Record<string, (response: ServerResponse) => void>> = {
      'other bytes of the same length': response => response.end(randomBytes(BLOB.length)),
      'what is no gzip': response => response.end('x'),
      'too many': response => response.end(Buffer.concat([BLOB, BLOB])),
      nothing: response => response.end(),
      'an error page': response => response.writeHead(200, { 'content-type': 'text/html' }).end('<html>'),
    }
    for (const lie of Object.values(lies)) {
      await pullPast(answers(lie, ({ url = '' }) => url.includes('/blobs/')))
    }
  })

  test('#52: a liar is asked for nothing more, and an honest mirror behind it is', async () => {
    await using liar = await mirror(givesWrongBlob)
    await using honest = await mirror()
    const files = await registriesConf(tableOf(DEAD, [liar.address, honest.address]))
    const told: string[] = []
    await using repository = await connectRepository(parseReference(`${DEAD}/app`), {
      ...files,
      access: 'pull',
      logger: createLogger('warn', line => told.push(line)),
    })
    assert.ok((await repository.withoutLiars(() => readBlob(repository))).equals(BLOB))
    assert.ok((await readBlob(repository)).equals(BLOB))
    assert.equal(liar.asked.length, 1)
    assert.equal(honest.asked.length, 2)
    assert.deepEqual([told.length, told[0]!.includes(liar.address)], [1, true])
  })

  test('#52: who looks at an image that is not here looks past a liar, and sees everything once', async () => {
    const flips = answers(
      response => response.end(randomBytes(100)),
      ({ url = '' }) => url.includes('/blobs/'),
    )
    const isNoManifest = answers(
      response => response.writeHead(200, { 'content-type': MEDIA_TYPES.manifest }).end('<html>'),
      ({ url = '' }) => url.endsWith('/manifests/1'),
    )
    for (const lie of [flips, isNoManifest]) {
      const look = async <Result>(work: (engine: Engine, name: string) => Promise<Result>): Promise<Result> => {
        await using liar = await mirror(lie)
        const files = await registriesConf(tableOf(registry.address, [liar.address]))
        await using engine = await openEngine({ root: await mkdtemp(join(scratch, 'root-')), fsync: false, ...files })
        const result = await work(engine, `${registry.address}/app:1`)
        assert.ok(liar.asked.length > 0)
        return result
      }
      const content = await look(async (engine, name) => Buffer.concat(await Array.fromAsync(await engine.readFile(name, '/file'))))
      assert.ok(content.equals(BLOB))
      const listings = await look((engine, name) => Array.fromAsync(engine.listDirectory(name, '/')))
      assert.deepEqual(
        listings.map(({ files }) => files.map(({ name }) => name)),
        [['file']],
      )
      const { Descriptor } = await look((engine, name) => engine.inspectImage(name, { remote: true }))
      assert.equal(Descriptor?.digest, manifest.digest)
      const [found, ...more] = await look((engine, name) => Array.fromAsync(engine.remoteManifests(name)))
      assert.deepEqual([found!.descriptor.digest, more], [manifest.digest, []])
    }
  })

  test('no mirror is blamed for a path that is none', async () => {
    await using honest = await mirror()
    const files = await registriesConf(tableOf(DEAD, [honest.address]))
    await using engine = await openEngine({ root: await mkdtemp(join(scratch, 'root-')), fsync: false, ...files })
    await assert.rejects(engine.readFile(`${DEAD}/app:1`, '/'), { code: 'STRATA_NOT_A_FILE' })
    await assert.rejects(engine.readFile(`${DEAD}/app:1`, '/file/x'), { code: 'STRATA_NOT_A_DIRECTORY' })
  })

  test('#52: who has nobody but a liar hears of it', async () => {
    await using liar = await mirror(givesWrongBlob)
    const files = await registriesConf(tableOf(DEAD, [liar.address]))
    await reading(`${DEAD}/app`, files, repository =>
      assert.rejects(
        repository.withoutLiars(() => readBlob(repository)),
        { code: 'STRATA_REGISTRY_UNREACHABLE', hint: new RegExp(`${liar.address} \\(what it gave was wrong\\)`) },
      ),
    )
  })

  test('#52: what the registry itself gives is wrong, too: that is told, and no mirror is called a liar', async () => {
    await using seen = await mirror(givesWrongBlob)
    await using copy = await mirror(givesWrongBlob)
    for (const mirrors of [[], [copy.address]]) {
      const told: string[] = []
      await using repository = await connectRepository(parseReference(`${seen.address}/app`), {
        ...(await registriesConf(tableOf(seen.address, mirrors))),
        access: 'pull',
        logger: createLogger('warn', line => told.push(line)),
      })
      await assert.rejects(
        repository.withoutLiars(() => readBlob(repository)),
        { code: 'STRATA_DIGEST_MISMATCH' },
      )
      assert.deepEqual(told, [])
    }
    assert.deepEqual([seen.asked.length, copy.asked.length], [2, 1])
  })

  test('#59: an answer that is none, breaks off or leads nowhere is passed over', async () => {
    const raw =
      (text: string): ((response: ServerResponse) => void) =>
      ({ socket }) => {
        socket!.write(text)
        socket!.destroySoon()
      }
    for (const answer of [
      raw('HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n'),
      raw('HTTP/1.1 503 Busy\r\nContent-Length: 100\r\n\r\n'),
      raw('HTTP/1.1 404 Not Found\r\nContent-Length: 100\r\n\r\nx'),
      (response: ServerResponse) => void response.writeHead(307, { location: 'http://[' }).end(),
    ])
      for (const kind of ['/manifests/', '/blobs/']) await pullPast(answers(answer, ({ url = '' }) => url.includes(kind)))
  })

  test('#59: a blob that breaks off in the middle goes on at the next', async () => {
    const half = BLOB.length / 2
    const ways: Readonly<Record<string, (response: ServerResponse) => void>> = {
      'the connection is cut': breaksOff,
      'its length is a lie': response => response.writeHead(200, { 'content-length': half }).end(BLOB.subarray(0, half)),
    }
    for (const [title, way] of Object.entries(ways)) {
      await using broken = await mirror(answers(way, isBlob))
      await using next = await mirror()
      const files = await registriesConf(tableOf(DEAD, [broken.address, next.address]))
      assert.ok((await reading(`${DEAD}/app`, files, readBlob)).equals(BLOB), title)
      assert.equal(broken.asked.length, 1, title)
      assert.match(next.asked[0]!.headers.range ?? '', /^bytes=[1-9]\d*-$/, title)
    }
  })

  test('#59: an answer to another range, and one in an encoding, is passed over', async () => {
    const next = async (way: (response: ServerResponse) => void): Promise<void> => {
      await using broken = await mirror(answers(breaksOff, isBlob))
      await using wrong = await mirror(answers(way, isBlob))
      const files = await registriesConf(tableOf(registry.address, [broken.address, wrong.address]))
      assert.ok((await reading(`${registry.address}/app`, files, readBlob)).equals(BLOB))
      assert.equal(wrong.asked.length, 1)
    }
    await next(response => response.writeHead(206, { 'content-range': `bytes 0-9/${BLOB.length}` }).end('0123456789'))
    await next(response => response.writeHead(200, { 'content-encoding': 'gzip' }).end('x'))
    await next(response => response.writeHead(416).end())
  })

  test('#57: a mirror gets its own credentials, and never those of the registry', async () => {
    const auth = (name: string): object => ({ auth: Buffer.from(`${name}:secret`).toString('base64') })
    await using known = await mirror(wantsCredentials)
    await using unknown = await mirror(wantsCredentials)
    const files = await machineFiles(scratch, {
      'etc/containers/registries.conf': `[[registry]]\nprefix = "docker.io"\nlocation = "docker.io"\n[[registry.mirror]]\nlocation = "${unknown.address}"\n[[registry.mirror]]\nlocation = "${known.address}"\n`,
      'docker/config.json': { auths: { 'https://index.docker.io/v1/': auth('hub'), [known.address]: auth('mirror') } },
    })
    const found = await reading('app', files, repository => repository.manifest('1'))
    assert.equal(found.descriptor.digest, manifest.digest)
    assert.deepEqual([...new Set(unknown.asked.map(({ headers }) => headers.authorization))], [undefined])
    const told = known.asked.flatMap(({ headers }) => headers.authorization ?? [])
    assert.deepEqual(told, [`Basic ${Buffer.from('mirror:secret').toString('base64')}`])
  })
})

describe('hosts.toml', () => {
  const hostsToml = (host: string, text: string): Promise<MachineFiles> =>
    machineFiles(scratch, { [`etc/containerd/certs.d/${host}/hosts.toml`]: text })

  test('a host that may pull and not resolve is asked for digests only', async () => {
    await using seen = await mirror()
    const files = await hostsToml(registry.address.replace(/:(\d+)$/, '_$1_'), `[host."http://${seen.address}"]\ncapabilities = ["pull"]\n`)
    assert.equal((await pull(`${registry.address}/app:1`, files)).manifestDigest, manifest.digest)
    assert.ok(seen.asked.length >= 2)
    for (const { url } of seen.asked) assert.match(url, /\/sha256:[0-9a-f]{64}\?ns=/)
  })

  test('hosts are asked in their order, on behalf of the registry, with their headers; the server last', async () => {
    await using first = await mirror(lacksAll)
    await using second = await mirror(lacksAll)
    await using server = await mirror()
    const files = await hostsToml(
      '_default',
      `server = "http://${server.address}"\n[host."http://${first.address}/v2/sub"]\noverride_path = true\n[host."http://${second.address}/sub"]\n[host."http://${second.address}/sub".header]\nx-team = ["a", "b"]\n`,
    )
    const found = await reading('registry.example/app', files, repository => repository.manifest('1'))
    assert.equal(found.descriptor.digest, manifest.digest)
    const urls = [first, second, server].map(({ asked }) => asked[0]!.url)
    assert.deepEqual(urls, [
      '/v2/sub/app/manifests/1?ns=registry.example',
      '/sub/v2/app/manifests/1?ns=registry.example',
      '/v2/app/manifests/1?ns=registry.example',
    ])
    assert.equal(second.asked[0]!.headers['x-team'], 'a, b')
    assert.equal(first.asked[0]!.headers['x-team'], undefined)
    assert.equal(server.asked[0]!.headers['x-team'], undefined)
  })

  test('a host that does not let us in within its dial_timeout is passed over', async () => {
    // It takes connections, and does not shake hands.
    const silent = createServer(socket => socket.on('error', () => undefined).resume()).listen(0, '127.0.0.1')
    await once(silent, 'listening')
    const { port } = silent.address() as { port: number }
    const files = await hostsToml(registry.address, `[host."https://127.0.0.1:${port}"]\ndial_timeout = "100ms"\n`)
    const begun = performance.now()
    await reading(`${registry.address}/app`, files, repository => repository.manifest('1'))
    assert.ok(performance.now() - begun < 5000)
    silent.close()
  })

  test('pushes go to the first host that takes them', async () => {
    await using seen = await mirror()
    const files = await hostsToml(
      'registry.example',
      `[host."http://${seen.address}"]\ncapabilities = ["pull", "resolve"]\n[host."http://${registry.address}"]\ncapabilities = ["push"]\n`,
    )
    await using repository = await connectRepository(parseReference('registry.example/taken'), { ...files, access: 'push' })
    await repository.putManifest('1', index)
    assert.equal(await repository.has(index.descriptor), true)
    assert.deepEqual(seen.asked, [])
    const none = await hostsToml('registry.example', `server = "http://${registry.address}"\ncapabilities = ["pull"]\n`)
    await assert.rejects(connectRepository(parseReference('registry.example/taken'), { ...none, access: 'push' }), {
      code: 'STRATA_NO_HOST',
    })
  })
})

describe('daemon.json', () => {
  test('registry-mirrors are mirrors of Docker Hub and of nothing else', async () => {
    await using seen = await mirror()
    const files = await machineFiles(scratch, { 'etc/docker/daemon.json': { 'registry-mirrors': [`http://${seen.address}/`] } })
    assert.equal((await reading('app', files, repository => repository.manifest('1'))).descriptor.digest, manifest.digest)
    assert.equal(seen.asked[0]!.url, '/v2/library/app/manifests/1')
    await reading(`${registry.address}/app`, files, repository => repository.manifest('1'))
    assert.equal(seen.asked.length, 1)
  })
})

test('where reads go is said by registries.conf before hosts.toml, and by that before daemon.json', async () => {
  await using first = await mirror()
  await using second = await mirror()
  await using third = await mirror()
  const containers = { 'config/containers/registries.conf.d/a.conf': tableOf('docker.io', [first.address]) }
  const containerd = { 'etc/containerd/certs.d/docker.io/hosts.toml': `[host."http://${second.address}"]\n` }
  const docker = { 'etc/docker/daemon.json': { 'registry-mirrors': [`http://${third.address}`] } }
  const asked = (): readonly number[] => [first, second, third].map(({ asked: { length } }) => length)
  for (const [files, expected] of [
    [{ ...containers, ...containerd, ...docker }, [1, 0, 0]],
    [{ ...containerd, ...docker }, [1, 1, 0]],
    [docker, [1, 1, 1]],
  ] as const) {
    await reading('app', await machineFiles(scratch, files), repository => repository.manifest('1'))
    assert.deepEqual(asked(), expected)
  }
})

// But for prefixes with a tag or a digest, which the manual page has and skopeo 1.9 overlooks.
test('skopeo asks the same servers for the same names', async () => {
  await using a = await mirror(lacksAll)
  await using b = await mirror(lacksAll)
  const table = (prefix: string, location: string, mirrors: readonly string[], more = ''): string =>
    `[[registry]]\nprefix = "${prefix}"\nlocation = "${location}"\ninsecure = true\n${more}${mirrors
      .map(address => `[[registry.mirror]]\nlocation = "${address}"\ninsecure = true\n`)
      .join('')}`
  const conf = [
    table('one.example', a.address, [`${b.address}/m1`, `${a.address}/m2`]),
    table('one.example/deep', `${b.address}/deep`, []),
    table('*.one.example', `${a.address}/wild`, [`${b.address}/wild`]),
    table('xx.one.example', `${b.address}/x`, []),
    table('*.two.one.example', `${b.address}/two`, []),
    table('digests.example', `${a.address}/d`, [`${b.address}/d`], 'mirror-by-digest-only = true\n'),
    table('docker.io/library', `${a.address}/hub`, []),
  ].join('')
  const files = await registriesConf(conf)
  const seen = (): readonly string[] =>
    [a, b].flatMap(({ asked }, index) => (asked as Asked[]).splice(0).map(({ url }) => `${'ab'[index]} ${url.replace(/\?.*/, '')}`))
  for (const name of [
    'one.example/app:1',
    'one.example/deep/app:1',
    'one.example/deeper/app:1',
    'xx.one.example/app:1',
    'x.two.one.example/app:1',
    'y.z.one.example/app:1',
    'digests.example/app:1',
    `digests.example/app@${manifest.digest}`,
    'docker.io/library/app:1',
    'app:1',
  ]) {
    await assert.rejects(
      must(
        'skopeo',
        '--registries-conf',
        join(files.systemDirectory, 'containers/registries.conf'),
        'inspect',
        '--raw',
        '--no-creds',
        `docker://${name}`,
      ),
    )
    const skopeo = seen()
    assert.ok(skopeo.length > 0, name)
    const reference = parseReference(name)
    await assert.rejects(reading(name, files, repository => repository.manifest(reference.digest ?? reference.tag!)))
    assert.deepEqual(seen(), skopeo, name)
  }
})
