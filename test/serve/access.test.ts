import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readFile, writeFile } from 'node:fs/promises'
import { request as httpRequest } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { networkInterfaces } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { hash } from 'bcryptjs'
import { must } from '../support/commands.ts'
import { codesOf, Served } from './served.ts'

const basic = (text: string): Record<string, string> => ({ authorization: `Basic ${Buffer.from(text).toString('base64')}` })

async function withUsers(options: object = {}): Promise<Served> {
  const served = await Served.start()
  const htpasswd = join(served.root, 'htpasswd')
  await writeFile(htpasswd, `ann:${await hash('pw', 4)}\nbob:${await hash('wp', 4)}\n`)
  await served.restart({ htpasswd, ...options })
  return served
}

test('serve() refuses to let strangers in, and passwords into the network', async () => {
  await using served = await Served.start()
  const refused = (options: object, code: string): Promise<void> =>
    assert.rejects(served.engine.serve({ listen: '0.0.0.0:0', ...options }), { code })
  await refused({}, 'STRATA_SERVE_UNPROTECTED')
  const htpasswd = join(served.root, 'htpasswd')
  await writeFile(htpasswd, `ann:${await hash('pw', 4)}`)
  await refused({ htpasswd }, 'STRATA_SERVE_PASSWORDS_IN_PLAIN')
  for (const network of ['', 'lan', '10.0.0.0/33', '10.0.0.0/-1', '::/129', '10.0.0'])
    await refused({ allow: [network] }, 'STRATA_NETWORK_INVALID')
  await refused({ allow: ['10.0.0.0/8'], pushUsers: ['ann'] }, 'STRATA_NO_SUCH_USER')
  await refused({ allow: ['10.0.0.0/8'], htpasswd: join(served.root, 'none') }, 'STRATA_ENOENT')
  await refused({ listen: served.address }, 'STRATA_ADDRESS_IN_USE')
  await refused({ allow: ['::1'], upstream: 'http://docker.io' }, 'STRATA_UPSTREAM_INVALID')
  await refused({ allow: ['::1'], upstream: 'docker.io', writable: true }, 'STRATA_CACHE_IS_READ_ONLY')
})

test('only addresses of the access list are let in', async t => {
  await using served = await Served.start()
  await served.must(200, 'GET', '/v2/')
  await served.restart({ allow: ['10.11.12.0/24', 'fd00::/8'] })
  await assert.rejects(served.request('GET', '/v2/'))
  await served.restart({ allow: ['127.0.0.1'] })
  await served.must(200, 'GET', '/v2/')
  const elsewhere = Object.values(networkInterfaces())
    .flat()
    .find(each => each?.family === 'IPv4' && !each.internal)?.address
  if (elsewhere === undefined) return t.diagnostic('this machine has no other address')
  // A client that comes from another address than the list has, on a socket for all of them.
  await served.server.close()
  served.server = await served.engine.serve({ listen: '[::]:0', allow: ['127.0.0.1'] })
  const { port } = served.server.url
  assert.equal((await fetch(`http://127.0.0.1:${port}/v2/`)).status, 200)
  await assert.rejects(fetch(`http://${elsewhere}:${port}/v2/`))
})

test('with an htpasswd file clients must sign in', async () => {
  await using served = await withUsers({ writable: true })
  for (const headers of [{}, basic('ann:wrong'), basic('eve:pw'), { authorization: 'Bearer x' }]) {
    for (const path of ['/v2/', '/v2/_catalog', '/v2/a/manifests/1', '/other']) {
      const answer = await served.must(401, 'GET', path, { headers })
      assert.match(answer.headers.get('www-authenticate')!, /^Basic realm=/)
      assert.deepEqual(await codesOf(answer), ['UNAUTHORIZED'])
    }
  }
  await served.must(200, 'GET', '/v2/', { headers: basic('ann:pw') })
  await served.must(202, 'POST', '/v2/a/blobs/uploads/', { headers: basic('bob:wp') })
})

test('--push-user is who may push, and the others may pull', async () => {
  await using served = await withUsers({ writable: true, pushUsers: ['ann'] })
  await served.must(202, 'POST', '/v2/a/blobs/uploads/', { headers: basic('ann:pw') })
  for (const [method, path] of [
    ['POST', '/v2/a/blobs/uploads/'],
    ['PUT', '/v2/a/manifests/1'],
    ['DELETE', '/v2/a/manifests/1'],
    ['GET', '/v2/a/blobs/uploads/123'],
  ] as const)
    assert.deepEqual(await codesOf(await served.must(403, method, path, { headers: basic('bob:wp') })), ['DENIED'])
  await served.must(200, 'GET', '/v2/', { headers: basic('bob:wp') })
})

test('web pages are turned away: another origin, and a name that was made to mean this machine (hostile #99)', async () => {
  await using served = await Served.start({ writable: true })
  let { port } = served.server.url
  const statusOf = async (headers: Record<string, string>): Promise<number | undefined> => {
    const sent = httpRequest({ host: '127.0.0.1', port, path: '/v2/', headers }).end()
    const [response] = (await once(sent, 'response')) as [{ statusCode?: number; resume(): void }]
    response.resume()
    return response.statusCode
  }
  assert.equal(await statusOf({ host: `evil.example:${port}` }), 403)
  assert.equal(await statusOf({ host: `127.0.0.1:${port}`, origin: 'http://evil.example' }), 403)
  for (const host of [`127.0.0.1:${port}`, `localhost:${port}`, `[::1]:${port}`]) assert.equal(await statusOf({ host }), 200)

  // For other machines, too: their browsers are as credulous.
  await served.server.close()
  served.server = await served.engine.serve({ listen: '0.0.0.0:0', allow: ['127.0.0.0/8'] })
  port = served.server.url.port
  for (const host of [`evil.example:${port}`, 'registry.example.org']) assert.equal(await statusOf({ host }), 403, host)
  for (const host of [`10.0.0.1:${port}`, `nas:${port}`, `nas.local:${port}`]) assert.equal(await statusOf({ host }), 200, host)
})

test('TLS, with a certificate of one’s own', async () => {
  await using served = await Served.start()
  const [key, certificate] = [join(served.root, 'key.pem'), join(served.root, 'cert.pem')]
  await must(
    'openssl',
    ...['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-keyout', key, '-out', certificate],
    ...['-days', '1', '-subj', '/CN=localhost', '-addext', 'subjectAltName=IP:127.0.0.1'],
  )
  await assert.rejects(served.engine.serve({ listen: ':0', tls: { certificate: key, key } }), { code: 'STRATA_TLS_FILES_INVALID' })
  await served.restart({ tls: { certificate, key } })
  assert.equal(served.server.url.protocol, 'https:')
  const sent = httpsRequest(new URL('/v2/', served.server.url), { ca: await readFile(certificate), agent: false }).end()
  const [response] = (await once(sent, 'response')) as [{ statusCode?: number; resume(): void }]
  response.resume()
  assert.equal(response.statusCode, 200)
})
