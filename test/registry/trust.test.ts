import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer as createSecureServer } from 'node:https'
import { createServer as createSocketServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import type { TLSSocket } from 'node:tls'
import { isStrataError, runProgram } from '../../src/base/index.ts'
import { describeBytes, MEDIA_TYPES, parseReference } from '../../src/oci/index.ts'
import { connectRepository, httpSender } from '../../src/registry/index.ts'
import { type KeyPair, makeAuthority, makeCertificate } from '../support/certificates.ts'
import { type LoopbackRegistry, startRegistry } from '../support/loopbackRegistry.ts'
import { type MachineFiles, machineFiles } from '../support/machineFiles.ts'
import { proxyServer } from '../support/proxyServer.ts'

/* Registries with certificates that not everybody knows, and registries behind proxies. */

let scratch: string
let authority: KeyPair
let client: KeyPair
/** Has a certificate of `authority`. */
let secure: LoopbackRegistry
/** The same, and lets in only who has one, too. */
let mutual: LoopbackRegistry

before(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'strata-trust-'))
  authority = await makeAuthority(scratch, 'authority')
  client = await makeCertificate(scratch, 'client', { authority, names: ['DNS:client.test'] })
  const server = await makeCertificate(scratch, 'server', { authority, names: ['IP:127.0.0.1', 'DNS:registry.test'] })
  secure = await startRegistry({ tls: server })
  mutual = await startRegistry({ tls: { ...server, clientAuthorities: [authority.certificate] } })
})
after(async () => {
  await secure[Symbol.asyncDispose]()
  await mutual[Symbol.asyncDispose]()
  await rm(scratch, { recursive: true, force: true })
})

const INDEX = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: MEDIA_TYPES.index, manifests: [] }))
const index = { descriptor: describeBytes(MEDIA_TYPES.index, INDEX), bytes: INDEX }

type Variables = Readonly<Record<string, string>>

/** Pushes to a registry and reads from it. */
async function use(domain: string, files: MachineFiles, variables: Variables = {}): Promise<void> {
  for (const access of ['push', 'pull'] as const) {
    await using repository = await connectRepository(parseReference(`${domain}/app`), { ...files, variables, access })
    if (access === 'push') await repository.putManifest('1', index)
    assert.deepEqual(await repository.manifest('1'), index)
  }
}

interface TlsServer extends AsyncDisposable {
  readonly address: string
  /** Who the senders of requests have shown to be, if anybody. */
  readonly clients: readonly (string | undefined)[]
}

async function tlsServer(host: string, answer: (request: IncomingMessage, response: ServerResponse) => void): Promise<TlsServer> {
  const { certificate, key } = await makeCertificate(scratch, `server-${host}`, { authority, names: [`IP:${host}`] })
  const clients: (string | undefined)[] = []
  const options = { cert: await readFile(certificate), key: await readFile(key), requestCert: true, rejectUnauthorized: false }
  const server = createSecureServer(options, (request, response) => {
    clients.push((request.socket as TLSSocket).getPeerCertificate().subject?.CN as string | undefined)
    answer(request, response)
  }).listen(0, host)
  await once(server, 'listening')
  return {
    address: `${host}:${(server.address() as { port: number }).port}`,
    clients,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

const ca = (): object => ({ copy: authority.certificate })

describe('a registry with a private authority', () => {
  test('is refused, and the message says what to do and nothing of Node', async () => {
    await assert.rejects(use(secure.address, await machineFiles(scratch)), (error: unknown) => {
      assert.ok(isStrataError(error, 'unavailable'))
      assert.equal(error.code, 'STRATA_REGISTRY_UNTRUSTED')
      assert.equal(error.message, `Cannot reach registry "${secure.address}": its certificate is signed by nobody who is known here`)
      assert.match(error.hint!, /certs\.d/)
      return true
    })
  })

  test('is known by certs.d of containers, docker and containerd, and by ca in hosts.toml', async () => {
    for (const path of [
      `config/containers/certs.d/${secure.address}/any.crt`,
      `etc/containers/certs.d/${secure.address}/ca.crt`,
      `etc/docker/certs.d/${secure.address}/ca.crt`,
      `etc/containerd/certs.d/${secure.address}/ca.crt`,
    ])
      await use(secure.address, await machineFiles(scratch, { [path]: ca() }))
    const directory = `etc/containerd/certs.d/${secure.address.replace(':', '_')}_`
    const toml = { [`${directory}/hosts.toml`]: 'ca = "mine.pem"', [`${directory}/mine.pem`]: ca() }
    await use(secure.address, await machineFiles(scratch, toml))
  })

  test('is not known by the certificates of another host', async () => {
    const files = await machineFiles(scratch, { [`etc/containers/certs.d/${mutual.address}/ca.crt`]: ca() })
    await assert.rejects(use(secure.address, files), { code: 'STRATA_REGISTRY_UNTRUSTED' })
  })

  /** Asks the secure registry for something in a process of its own. */
  const askElsewhere = (domain: string, files: MachineFiles, env: Variables): ReturnType<typeof runProgram> => {
    const program = `import { connectRepository } from ${JSON.stringify(import.meta.resolve('../../src/registry/index.ts'))}
      import { parseReference } from ${JSON.stringify(import.meta.resolve('../../src/oci/index.ts'))}
      await using repository = await connectRepository(parseReference('${domain}/app'), { ...${JSON.stringify(files)}, access: 'pull' })
      console.log(await repository.has(${JSON.stringify(index.descriptor)}))`
    return runProgram(process.execPath, ['--input-type=module', '--eval', program], { env: { PATH: process.env['PATH'] ?? '', ...env } })
  }

  test('is known by the system’s store', async () => {
    const files = await machineFiles(scratch)
    await use(secure.address, await machineFiles(scratch, { [`etc/containers/certs.d/${secure.address}/ca.crt`]: ca() }))
    assert.equal((await askElsewhere(secure.address, files, { SSL_CERT_FILE: authority.certificate })).stdout, 'true\n')
    assert.match((await askElsewhere(secure.address, files, {})).stderr, /STRATA_REGISTRY_UNTRUSTED/)
  })

  test('is reached through a proxy that speaks TLS by a certificate of its own', async () => {
    const files = await machineFiles(scratch, { 'etc/containers/certs.d/registry.test/ca.crt': ca() })
    const { certificate, key } = await makeCertificate(scratch, 'proxy', { authority, names: ['DNS:localhost'] })
    await using proxy = await proxyServer(secure.address, { tls: { cert: await readFile(certificate), key: await readFile(key) } })
    const place = `localhost:${proxy.address.split(':')[1]}`
    await use(secure.address, await machineFiles(scratch, { [`etc/containers/certs.d/${secure.address}/ca.crt`]: ca() }))
    const variables = { HTTPS_PROXY: `https://${place}` }
    assert.equal((await askElsewhere('registry.test', files, { ...variables, SSL_CERT_FILE: authority.certificate })).stdout, 'true\n')
    assert.ok(proxy.asked.includes('CONNECT registry.test:443'))
    // The registry is not to blame for a proxy that nobody knows.
    const { stderr } = await askElsewhere('registry.test', files, variables)
    assert.match(stderr, new RegExp(`Cannot reach registry "registry.test" through the proxy "${place}": .*certificate`))
  })

  test('wants nothing more where a configuration calls it insecure', async () => {
    const table = `[[registry]]\nlocation = "${secure.address}"\ninsecure = true\n`
    for (const files of [
      { 'etc/containers/registries.conf': table },
      { 'config/containers/registries.conf': table },
      { 'etc/containers/registries.conf.d/10-mine.conf': table },
      { 'etc/docker/daemon.json': { 'insecure-registries': [secure.address] } },
      { 'etc/docker/daemon.json': { 'insecure-registries': ['127.0.0.0/8'] } },
      { [`etc/containerd/certs.d/${secure.address}/hosts.toml`]: 'skip_verify = true' },
    ])
      await use(secure.address, await machineFiles(scratch, files))
    // A name counts by the addresses that it has.
    const network = await machineFiles(scratch, { 'etc/docker/daemon.json': { 'insecure-registries': ['127.0.0.0/8'] } })
    await use(secure.address.replace('127.0.0.1', 'localhost'), network)
    const others = { 'etc/docker/daemon.json': { 'insecure-registries': [mutual.address, '10.0.0.0/8'] } }
    await assert.rejects(use(secure.address, await machineFiles(scratch, others)), { code: 'STRATA_REGISTRY_UNTRUSTED' })
  })

  test('with a certificate for another name is refused', async () => {
    const files = await machineFiles(scratch, { 'etc/containers/certs.d/other.test/ca.crt': ca() })
    await using proxy = await proxyServer(secure.address)
    await assert.rejects(use('other.test', files, { HTTPS_PROXY: `http://${proxy.address}` }), {
      code: 'STRATA_REGISTRY_UNTRUSTED',
      message: /certificate is for another name/,
    })
  })
})

describe('a registry that wants to know its clients', () => {
  test('lets nobody in without a certificate, and says that it wants one', async () => {
    const files = await machineFiles(scratch, { [`etc/containers/certs.d/${mutual.address}/ca.crt`]: ca() })
    await assert.rejects(use(mutual.address, files), { code: 'STRATA_REGISTRY_UNTRUSTED', message: /client certificate/ })
  })

  test('gets the certificate of certs.d or of hosts.toml', async () => {
    const certs = (directory: string): Readonly<Record<string, object>> => ({
      [`${directory}/ca.crt`]: ca(),
      [`${directory}/client.cert`]: { copy: client.certificate },
      [`${directory}/client.key`]: { copy: client.key },
    })
    await use(mutual.address, await machineFiles(scratch, certs(`etc/docker/certs.d/${mutual.address}`)))
    const directory = `etc/containerd/certs.d/${mutual.address}`
    const toml = 'ca = "ca.crt"\nclient = [["client.cert", "client.key"]]'
    await use(mutual.address, await machineFiles(scratch, { ...certs(directory), [`${directory}/hosts.toml`]: toml }))
  })

  for (const [title, address] of [
    ['host', '127.0.0.2'],
    ['port', '127.0.0.1'],
  ] as const)
    test(`shows no other ${title} the certificate, and has it verified`, async () => {
      await using other = await tlsServer(address, (_, response) => response.end())
      await using redirecting = await tlsServer('127.0.0.1', (request, response) => {
        if (request.url === '/v2/') response.end('{}')
        else response.writeHead(307, { location: `https://${other.address}/` }).end()
      })
      const directory = `etc/containerd/certs.d/${redirecting.address}`
      const certificates = {
        [`${directory}/client.cert`]: { copy: client.certificate },
        [`${directory}/client.key`]: { copy: client.key },
        [`${directory}/ca.pem`]: ca(),
      }
      const read = async (toml: string): Promise<boolean> => {
        const files = await machineFiles(scratch, { ...certificates, [`${directory}/hosts.toml`]: toml })
        await using repository = await connectRepository(parseReference(`${redirecting.address}/app`), { ...files, access: 'pull' })
        return await repository.has(index.descriptor)
      }
      assert.equal(await read('ca = "ca.pem"\nclient = [["client.cert", "client.key"]]'), true)
      assert.deepEqual([...new Set(redirecting.clients)], ['client'])
      assert.deepEqual(other.clients, [undefined])
      await assert.rejects(read('skip_verify = true'), {
        code: 'STRATA_REGISTRY_UNTRUSTED',
        message: new RegExp(other.address),
      })
      assert.equal(other.clients.length, 1)
    })

  test('a key that is not that of the certificate is told with the names of the files', async () => {
    const directory = `etc/docker/certs.d/${mutual.address}`
    const files = await machineFiles(scratch, {
      [`${directory}/client.cert`]: { copy: client.certificate },
      [`${directory}/client.key`]: { copy: authority.key },
    })
    await assert.rejects(use(mutual.address, files), { code: 'STRATA_CERTIFICATE_INVALID', message: /client\.cert.*client\.key/ })
  })
})

describe('a registry behind a proxy', () => {
  const known = (host: string): Promise<MachineFiles> => machineFiles(scratch, { [`etc/containers/certs.d/${host}/ca.crt`]: ca() })

  test('is reached by CONNECT, with the password of the proxy', async () => {
    await using proxy = await proxyServer(secure.address)
    const files = await known('registry.test')
    for (const name of ['HTTPS_PROXY', 'https_proxy']) await use('registry.test', files, { [name]: `http://ann:s3cret@${proxy.address}` })
    assert.ok(proxy.asked.length >= 4)
    assert.deepEqual([...new Set(proxy.asked)], [`CONNECT Basic ${Buffer.from('ann:s3cret').toString('base64')} registry.test:443`])
  })

  test('is asked through it in plain HTTP only where the registry is insecure', async () => {
    await using plain = await startRegistry()
    await using proxy = await proxyServer(plain.address)
    const variables = { HTTPS_PROXY: `http://${proxy.address}`, HTTP_PROXY: `http://${proxy.address}` }
    await assert.rejects(use('registry.test', await machineFiles(scratch), variables), { kind: 'unavailable' })
    assert.deepEqual([...new Set(proxy.asked)], ['CONNECT registry.test:443'])
    const insecure = { 'etc/docker/daemon.json': { 'insecure-registries': ['registry.test'] } }
    await use('registry.test', await machineFiles(scratch, insecure), variables)
    assert.ok(proxy.asked.includes('PUT http://registry.test/v2/app/manifests/1'))
  })

  test('is not asked through it when NO_PROXY says so, and this machine never', async () => {
    await using proxy = await proxyServer(secure.address)
    const variables = { HTTPS_PROXY: `http://${proxy.address}`, no_proxy: '.test' }
    await assert.rejects(use('registry.test', await known('registry.test'), variables), { code: 'STRATA_REGISTRY_UNREACHABLE' })
    await use(secure.address, await known(secure.address), { HTTPS_PROXY: `http://${proxy.address}` })
    assert.deepEqual(proxy.asked, [])
  })

  test('is not there when the proxy takes the request and says nothing', async () => {
    const silent = createSocketServer(socket => socket.on('error', () => undefined).once('data', () => socket.end())).listen(0, '127.0.0.1')
    await once(silent, 'listening')
    const { port } = silent.address() as { port: number }
    const variables = { HTTPS_PROXY: `http://127.0.0.1:${port}` }
    const unreachable = { code: 'STRATA_REGISTRY_UNREACHABLE', message: /registry\.test/ }
    await assert.rejects(use('registry.test', await known('registry.test'), variables), unreachable)
    silent.close()
  })

  test('is not there when the proxy refuses; nobody hears its password', async () => {
    await using switching = await proxyServer(secure.address, { status: 101 })
    await assert.rejects(use('registry.test', await known('registry.test'), { HTTPS_PROXY: `http://${switching.address}` }), {
      message: /it answers 101/,
    })
    await using proxy = await proxyServer(secure.address, { status: 407 })
    await assert.rejects(
      use('registry.test', await known('registry.test'), { HTTPS_PROXY: `http://ann:s3cret@${proxy.address}` }),
      (error: unknown) => {
        assert.ok(isStrataError(error, 'unavailable'))
        assert.equal(error.message, `Cannot reach registry "registry.test" through the proxy "${proxy.address}": it answers 407`)
        assert.doesNotMatch(JSON.stringify(error) + String(error) + String(error.hint), /s3cret|YW5u/)
        return true
      },
    )
    // Asking again does not help.
    assert.equal(proxy.asked.length, 1)
    await assert.rejects(use('registry.test', await known('registry.test'), { HTTPS_PROXY: 'socks5://u:s3cret@x' }), {
      code: 'STRATA_PROXY_INVALID',
      message: 'Cannot use the proxy of $HTTPS_PROXY: it is no http or https URL',
    })
    await assert.rejects(use('registry.test', await known('registry.test'), { HTTPS_PROXY: `http://ann:s3cret%zz@${proxy.address}` }), {
      code: 'STRATA_PROXY_INVALID',
      message: 'Cannot use the proxy of $HTTPS_PROXY: its user name or password has a % that is no escape',
    })
  })
})

test('a registry that does not speak TLS, or a proxy that is not there, is told as that', async () => {
  const plain = createServer((_, response) => response.end('{}')).listen(0, '0.0.0.0')
  await once(plain, 'listening')
  const { port } = plain.address() as { port: number }
  try {
    // A name that leads here, and does not say so.
    await assert.rejects(use(`0.0.0.0:${port}`, await machineFiles(scratch)), (error: unknown) => {
      assert.ok(isStrataError(error, 'unavailable'))
      assert.equal(error.message, `Cannot reach registry "0.0.0.0:${port}": it does not speak TLS`)
      assert.match(error.hint!, /insecure = true.*insecure-registries/)
      return true
    })
  } finally {
    plain.closeAllConnections()
    plain.close()
  }
  const sender = httpSender({ variables: { HTTPS_PROXY: 'http://u:s3cret@127.0.0.1:1', HTTP_PROXY: 'http://u:s3cret@127.0.0.1:1' } })
  for (const scheme of ['https', 'http']) {
    await assert.rejects(sender.send({ method: 'GET', url: new URL(`${scheme}://registry.test/`), headers: {} }), {
      message: 'Cannot reach registry "registry.test" through the proxy "127.0.0.1:1": connect ECONNREFUSED 127.0.0.1:1',
      hint: 'Check the name, the proxy (of $HTTPS_PROXY or $HTTP_PROXY) and that the registry is running.',
    })
  }
  sender.close()
})

test('a registry of this machine that breaks off without TLS is not told as one that lacks it', async () => {
  const broken = createSocketServer(socket => {
    socket.on('error', () => undefined)
    socket.once('data', chunk => (chunk[0] === 0x16 ? socket.end('HTTP/1.1 400 Bad Request\r\n\r\n') : socket.destroy()))
  }).listen(0, '127.0.0.1')
  await once(broken, 'listening')
  const { port } = broken.address() as { port: number }
  await assert.rejects(use(`127.0.0.1:${port}`, await machineFiles(scratch)), {
    message: `Cannot reach registry "127.0.0.1:${port}": socket hang up`,
  })
  broken.close()
})

test('hostile #59: a host that lets nobody in, or says nothing, is given up', async () => {
  const sockets = createSocketServer(socket => socket.on('error', () => undefined).resume()).listen(0, '127.0.0.1')
  await once(sockets, 'listening')
  const { port } = sockets.address() as { port: number }
  const silent = createServer((_, response) => response.writeHead(200).write('x')).listen(0, '127.0.0.1')
  await once(silent, 'listening')
  const silentPort = (silent.address() as { port: number }).port
  const request = (url: string): Parameters<ReturnType<typeof httpSender>['send']>[0] => ({ method: 'GET', url: new URL(url), headers: {} })
  const patience = { connectTimeoutMs: 200, stallTimeoutMs: 200 }
  try {
    const direct = httpSender({ ...patience, variables: {} })
    // It takes the connection, and does not shake hands.
    await assert.rejects(direct.send(request(`https://127.0.0.1:${port}/`)), { message: /no connection within 0.2 s/ })
    await assert.rejects(direct.send(request(`http://127.0.0.1:${port}/`)), { message: /nothing came for 0.2 s/ })
    const { body } = await direct.send(request(`http://127.0.0.1:${silentPort}/`))
    await assert.rejects(Array.fromAsync(body), { code: 'STRATA_REGISTRY_UNREACHABLE' })
    direct.close()
    const proxied = httpSender({ ...patience, variables: { HTTPS_PROXY: `http://127.0.0.1:${port}` } })
    await assert.rejects(proxied.send(request('https://registry.test/')), { code: 'STRATA_REGISTRY_UNREACHABLE' })
    proxied.close()
    // Nobody waits any longer who does not want to.
    const stopped = httpSender({ variables: { HTTPS_PROXY: `http://127.0.0.1:${port}` } })
    const signal = AbortSignal.timeout(50)
    const asked = performance.now()
    await assert.rejects(stopped.send({ ...request('https://registry.test/'), signal }), { kind: 'cancelled' })
    assert.ok(performance.now() - asked < 5_000, 'it is stopped before the patience with a proxy ends')
    stopped.close()
    // The proxy leads to one that does not shake hands.
    await using proxy = await proxyServer(`127.0.0.1:${port}`)
    const beyond = httpSender({ ...patience, variables: { HTTPS_PROXY: `http://${proxy.address}` } })
    await assert.rejects(beyond.send(request('https://registry.test/')), { code: 'STRATA_REGISTRY_UNREACHABLE' })
    beyond.close()
  } finally {
    silent.closeAllConnections()
    silent.close()
    sockets.close()
  }
})
