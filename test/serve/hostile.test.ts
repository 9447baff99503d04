import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, readdir, rm, truncate, writeFile } from 'node:fs/promises'
import { request as httpRequest } from 'node:http'
import { connect } from 'node:net'
import { arch, tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { openEngine } from '../../src/engine/index.ts'
import { mount, unmount } from '../../src/host/index.ts'
import { type Descriptor, describeBytes, digestHex, digestOf, MEDIA_TYPES } from '../../src/oci/index.ts'
import { ImageCrafter } from '../support/craftedImages.ts'
import { storedFiles } from '../support/storeCheck.ts'
import { tarOf } from '../support/tars.ts'
import { codesOf, Served } from './served.ts'

const BLOB = randomBytes(2_000_000)
const blob = describeBytes(MEDIA_TYPES.layer, BLOB)
const TYPE = { 'content-type': MEDIA_TYPES.manifest }

const bytesOf = async (response: Response): Promise<Buffer> => Buffer.from(await response.arrayBuffer())
const begin = async (served: Served, repository = 'team/app'): Promise<string> =>
  (await served.must(202, 'POST', `/v2/${repository}/blobs/uploads/`)).headers.get('location')!

/** Sends bytes as they are, and gives what comes back until the server closes. */
async function raw(served: Served, text: string): Promise<string> {
  const socket = connect(Number(served.server.url.port), '127.0.0.1')
  let answer = ''
  socket.on('data', (chunk: Buffer) => (answer += chunk.toString('latin1')))
  socket.on('error', () => undefined)
  socket.write(text)
  await new Promise(resolve => socket.once('close', resolve))
  return answer
}

const pathOf = (served: Served, { digest }: Descriptor): string => join(served.root, 'root', 'blobs', 'sha256', digestHex(digest))

describe('a served store and bad clients', { concurrency: 4 }, () => {
  test('paths lead nowhere else (hostile #54, #61)', async () => {
    await using served = await Served.start({ writable: true })
    await served.artifact('team/app', 'text', {}, '1')
    for (const path of [
      '/v2/../../../../etc/passwd',
      '/v2/team/app/blobs/../../../meta.db',
      '/v2/team/app/blobs/sha256:..%2f..%2f..%2fmeta.db',
      '/v2/team/app/blobs/sha256:%2e%2e',
      `/v2/team/app/blobs/SHA256:${'a'.repeat(64)}`,
      `/v2/team/app/blobs/sha256:${'A'.repeat(64)}`,
      '/v2/team/app/blobs/uploads/..%2f..%2fmeta.db',
      '/v2/..%2f..%2f/manifests/1',
      '//team/app/manifests/1',
      '/v2/team/app/manifests/%00',
      `/v2/${'a/'.repeat(2000)}manifests/1`,
    ]) {
      const answer = await raw(served, `GET ${path} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n`)
      assert.match(answer, /^HTTP\/1\.1 4\d\d /, path)
      assert.doesNotMatch(answer, /SQLite|root:/, path)
    }
    for (const name of ['a..b', 'A', '../x', 'a%00b']) {
      const { status } = await served.request('POST', `/v2/${name}/blobs/uploads/`)
      assert.ok(status === 400 || status === 404, name)
    }
  })

  test('heads that are too long, doubled lengths and other junk are cut off (hostile #99)', async () => {
    await using served = await Served.start({ writable: true })
    for (const text of [
      `GET /v2/ HTTP/1.1\r\nx: ${'y'.repeat(100_000)}\r\n\r\n`,
      'POST /v2/a/blobs/uploads/ HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nGET /v2/_catalog HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n',
      'POST /v2/a/blobs/uploads/ HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab',
      'POST /v2/a/blobs/uploads/ HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: -1\r\n\r\n',
      '\x16\x03\x01\x02\x00\x01\x00',
    ])
      assert.doesNotMatch(await raw(served, text), /^HTTP\/1\.1 2/, text.slice(0, 60))
    await served.must(200, 'GET', '/v2/')
  })

  test('a client that does not finish its head is cut off (slowloris)', async () => {
    await using served = await Served.start()
    const before = Date.now()
    assert.doesNotMatch(await raw(served, 'GET /v2/ HTTP/1.1\r\nhost: 127.0.0.1\r\nx'), /^HTTP\/1\.1 2/)
    assert.ok(Date.now() - before < 15_000)
  })

  test('manifests that can be read as two things, or as none, are refused (hostile #51, #55)', async () => {
    await using served = await Served.start({ writable: true })
    const config = await served.blob('team/app', Buffer.from('{}'), MEDIA_TYPES.empty)
    const whole = { schemaVersion: 2, mediaType: MEDIA_TYPES.manifest, config, layers: [] }
    for (const document of [
      { ...whole, manifests: [] },
      { ...whole, mediaType: MEDIA_TYPES.index },
      { ...whole, schemaVersion: 1 },
      { ...whole, config: { ...config, size: -1 } },
      { ...whole, config: { ...config, digest: 'sha256:../../x' } },
      { ...whole, config: { ...config, size: config.size + 1 } },
      [],
      'text',
    ]) {
      const answer = await served.must(400, 'PUT', '/v2/team/app/manifests/1', { headers: TYPE, body: JSON.stringify(document) })
      assert.deepEqual(await codesOf(answer), ['MANIFEST_INVALID'])
    }
    await served.must(400, 'PUT', '/v2/team/app/manifests/1', {
      headers: { 'content-type': MEDIA_TYPES.index },
      body: JSON.stringify(whole),
    })
    await served.must(400, 'PUT', '/v2/team/app/manifests/1', { headers: TYPE, body: '{"a":'.repeat(10_000) })
    await served.must(404, 'GET', '/v2/team/app/manifests/1')
    // A blob is no manifest until it is pushed as one.
    const hidden = await served.blob('team/app', Buffer.from(JSON.stringify(whole)), MEDIA_TYPES.manifest)
    await served.must(404, 'GET', `/v2/team/app/manifests/${hidden.digest}`)
  })

  test('who knows a digest does not get at another repository’s content by it', async () => {
    await using served = await Served.start({ writable: true })
    const theirs = await served.blob('their/app', BLOB)
    const config = await served.blob('our/app', Buffer.from('{}'), MEDIA_TYPES.empty)
    const whole = { schemaVersion: 2, mediaType: MEDIA_TYPES.manifest, config, layers: [theirs] }
    const answer = await served.must(404, 'PUT', '/v2/our/app/manifests/1', { headers: TYPE, body: JSON.stringify(whole) })
    assert.deepEqual(await codesOf(answer), ['MANIFEST_BLOB_UNKNOWN'])
    await served.must(404, 'GET', `/v2/our/app/blobs/${theirs.digest}`)
    const location = await begin(served, 'their/app')
    await served.must(404, 'GET', location.replace('their', 'our'))
    await served.must(404, 'PUT', `${location.replace('their', 'our')}?digest=${blob.digest}`, { body: BLOB })
  })

  test('what is below a pushed index must have been pushed as what it is, however it is called', async () => {
    await using served = await Served.start({ writable: true })
    const theirs = await served.blob('their/app', BLOB)
    const crafter = new ImageCrafter(served.address, 'our/app')
    const image = await crafter.image(undefined, [{ tar: tarOf({ file: 'x' }), compression: 'gzip' }])
    const config = await served.blob('our/app', Buffer.from('{}'), MEDIA_TYPES.empty)
    const foreign = { schemaVersion: 2, mediaType: MEDIA_TYPES.manifest, config, layers: [theirs] }
    const bytes = Buffer.from(JSON.stringify(foreign))
    const about = {
      platform: { os: 'unknown', architecture: 'unknown' },
      annotations: { 'vnd.docker.reference.type': 'attestation-manifest', 'vnd.docker.reference.digest': image.digest },
    }
    const refused = async (entry: Descriptor): Promise<void> => {
      const manifests = [
        { ...image, platform: { os: 'linux', architecture: arch() === 'x64' ? 'amd64' : arch() } },
        { ...entry, ...about },
      ]
      const answer = await served.must(404, 'PUT', '/v2/our/app/manifests/1', {
        headers: { 'content-type': MEDIA_TYPES.index },
        body: JSON.stringify({ schemaVersion: 2, mediaType: MEDIA_TYPES.index, manifests }),
      })
      assert.deepEqual(await codesOf(answer), ['MANIFEST_BLOB_UNKNOWN'])
      await served.must(404, 'GET', `/v2/our/app/blobs/${theirs.digest}`)
    }
    const uploaded = await served.blob('our/app', bytes, MEDIA_TYPES.manifest)
    await refused(uploaded)
    await refused({ ...uploaded, mediaType: 'application/octet-stream' })
    // The same when it is a manifest in its own repository, and something else here.
    const theirConfig = await served.blob('their/app', Buffer.from('{}'), MEDIA_TYPES.empty)
    const holder = { schemaVersion: 2, mediaType: MEDIA_TYPES.manifest, config, layers: [{ ...uploaded, mediaType: 'text/plain' }] }
    await served.document('our/app', holder, 'holder')
    await served.document('their/app', { ...foreign, config: theirConfig }, '1')
    await served.must(404, 'GET', `/v2/our/app/blobs/${theirs.digest}`)
    await refused(uploaded)
    await refused({ ...uploaded, mediaType: 'application/octet-stream' })
  })

  test('who pushes a manifest’s bytes as a blob does not change the manifest', async () => {
    await using served = await Served.start({ writable: true })
    const manifest = await served.artifact('team/app', 'text', {}, '1')
    const bytes = await bytesOf(await served.must(200, 'GET', '/v2/team/app/manifests/1'))
    await served.blob('our/app', bytes)
    await served.must(200, 'GET', `/v2/team/app/manifests/${manifest.digest}`)
  })

  test('chunks that lie about where they are and how long they are', async () => {
    await using served = await Served.start({ writable: true })
    const patch = (range: string, body: Uint8Array, location: string): Promise<Response> =>
      served.request('PATCH', location, { headers: { 'content-range': range }, body })
    const location = await begin(served)
    for (const range of [
      '-5-10',
      '0--1',
      '5-1',
      '99999999999999999999-99999999999999999999',
      '9007199254740993-9007199254740994',
      'x',
      '',
      '10-19',
    ])
      assert.equal((await patch(range, BLOB.subarray(0, 10), location)).status, 416, range)
    assert.deepEqual(await codesOf(await patch('0-20', BLOB.subarray(0, 10), location)), ['SIZE_INVALID'])
    assert.equal((await served.must(204, 'GET', location)).headers.get('range'), '0-0')

    // Without a length in the head the body may turn out to be longer than the range.
    const url = new URL(location, served.server.url)
    const sent = httpRequest({
      host: url.hostname,
      port: url.port,
      path: url.pathname,
      method: 'PATCH',
      headers: { 'content-range': '0-9', 'transfer-encoding': 'chunked' },
    })
    sent.write(BLOB.subarray(0, 500_000))
    sent.end(BLOB.subarray(500_000, 600_000))
    const [response] = (await once(sent, 'response')) as [{ statusCode?: number; resume(): void }]
    response.resume()
    assert.equal(response.statusCode, 400)
    await served.must(404, 'GET', location)
    assert.deepEqual(
      storedFiles(join(served.root, 'root')).filter(file => file.startsWith('ingest/')),
      [],
    )
  })

  test('who is refused while sending sees why, and may go on with the same connection', async () => {
    await using served = await Served.start({ writable: true })
    const location = await begin(served)
    const bytes = randomBytes(8_000_000)
    const socket = connect(Number(served.server.url.port), '127.0.0.1')
    let answers = ''
    socket.on('data', (chunk: Buffer) => (answers += chunk.toString('latin1')))
    for (const [request, status] of [
      [`PATCH ${location}`, 416],
      ['PUT /v2/team/app/manifests/1', 413],
      ['POST /v2/UPPER/blobs/uploads/', 400],
    ] as const) {
      const head = `${request} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-range: 5-8000004\r\ncontent-length: ${bytes.length}\r\n\r\n`
      socket.write(head)
      socket.write(bytes.subarray(0, 1_000_000))
      while (!answers.includes(`HTTP/1.1 ${status} `)) await once(socket, 'data')
      socket.write(bytes.subarray(1_000_000))
    }
    socket.end('GET /v2/ HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n')
    await once(socket, 'close')
    assert.match(answers, /HTTP\/1\.1 200 /)
  })

  test('an upload that breaks off goes on, at the same server and at the next one', async () => {
    await using served = await Served.start({ writable: true })
    const location = await begin(served)
    const url = new URL(location, served.server.url)
    const cut = httpRequest({
      host: url.hostname,
      port: url.port,
      path: url.pathname,
      method: 'PATCH',
      headers: { 'content-length': BLOB.length },
    })
    cut.on('error', () => undefined)
    await new Promise(resolve => cut.write(BLOB.subarray(0, 700_000), resolve))
    const arrived = async (): Promise<number> => Number((await served.must(204, 'GET', location)).headers.get('range')!.slice(2)) + 1
    while ((await arrived()) < 700_000) await sleep(10)
    // The connection is still open for the server when its client comes back on another one.
    const next = BLOB.subarray(700_000, 1_000_000)
    await served.must(202, 'PATCH', location, { headers: { 'content-range': '700000-999999' }, body: next })
    await served.restart({ writable: true })
    assert.equal(await arrived(), 1_000_000)
    await served.must(201, 'PUT', `${location}?digest=${blob.digest}`, {
      headers: { 'content-range': `1000000-${BLOB.length - 1}` },
      body: BLOB.subarray(1_000_000),
    })
    assert.ok((await bytesOf(await served.must(200, 'GET', `/v2/team/app/blobs/${blob.digest}`))).equals(BLOB))
  })

  test('uploads that nobody goes on with are few, and cost nothing', async () => {
    await using served = await Served.start({ writable: true })
    const [oldest, partly] = [await begin(served), await begin(served)]
    await served.must(202, 'PATCH', partly, { body: BLOB.subarray(0, 1000) })
    for (let count = 0; count < 254; count += 1) await begin(served)
    await served.must(204, 'GET', oldest)
    // The oldest that is empty makes room.
    await served.blob('team/app', BLOB)
    await served.must(404, 'GET', oldest)
    await served.must(204, 'GET', partly)
    // Where none is empty one that rests does, and it can be gone on with.
    for (let count = 0; count < 256; count += 1) await served.must(202, 'PATCH', await begin(served), { body: BLOB.subarray(0, 1) })
    assert.equal((await served.must(204, 'GET', partly)).headers.get('range'), '0-999')
    await served.must(202, 'PATCH', partly, { headers: { 'content-range': '1000-1999' }, body: BLOB.subarray(1000, 2000) })
    await served.must(201, 'PUT', `${partly}?digest=${digestOf(BLOB.subarray(0, 2000))}`)
  })

  test('what nobody names can be pruned; what waits for its manifest stays', async () => {
    await using served = await Served.start({ writable: true })
    const config = await served.blob('team/app', Buffer.from('{}'), MEDIA_TYPES.empty)
    const layer = await served.blob('their/app', BLOB)
    await served.must(201, 'POST', `/v2/team/app/blobs/uploads/?mount=${layer.digest}&from=their/app`)
    await served.must(202, 'DELETE', `/v2/their/app/blobs/${layer.digest}`)
    await served.engine.pruneImages({ all: true })
    const document = { schemaVersion: 2, mediaType: MEDIA_TYPES.manifest, config, layers: [layer] }
    const { digest } = await served.document('team/app', document, '1')
    await served.engine.pruneImages()
    assert.ok((await bytesOf(await served.must(200, 'GET', `/v2/team/app/blobs/${layer.digest}`))).equals(BLOB))
    await served.must(202, 'DELETE', `/v2/team/app/manifests/${digest}`)
    await served.must(404, 'GET', `/v2/team/app/blobs/${layer.digest}`)
    await served.engine.pruneImages()
    assert.deepEqual(storedFiles(join(served.root, 'root')), [])
  })

  test('damage never leaves as a whole answer, and a push heals it (hostile #72)', async () => {
    await using served = await Served.start({ writable: true })
    const { digest } = await served.artifact('team/app', 'text', {}, '1')
    const config = await served.blob('team/big', Buffer.from('{}'), MEDIA_TYPES.empty)
    const layer = await served.blob('team/big', BLOB)
    await served.document('team/big', { schemaVersion: 2, mediaType: MEDIA_TYPES.manifest, config, layers: [layer] }, '1')
    const wrong = Buffer.from(BLOB)
    wrong[1_500_000] = wrong[1_500_000]! ^ 1
    await writeFile(pathOf(served, layer), wrong)
    const answer = await served.request('GET', `/v2/team/big/blobs/${layer.digest}`, { headers: { range: 'bytes=0-99' } })
    assert.equal(answer.status, 500)
    assert.doesNotMatch(await answer.text(), /\/tmp|blobs\/sha256/)
    // It is marked now, and a whole request is told at once.
    await served.must(500, 'GET', `/v2/team/big/blobs/${layer.digest}`)
    await served.must(404, 'HEAD', `/v2/team/big/blobs/${layer.digest}`)
    await served.blob('team/big', BLOB)
    assert.ok((await bytesOf(await served.must(200, 'GET', `/v2/team/big/blobs/${layer.digest}`))).equals(BLOB))

    await writeFile(pathOf(served, layer), wrong)
    await assert.rejects(async () => bytesOf(await served.request('GET', `/v2/team/big/blobs/${layer.digest}`)))
    await truncate(pathOf(served, layer), 100)
    await served.must(500, 'GET', `/v2/team/big/blobs/${layer.digest}`)
    const manifestPath = join(served.root, 'root', 'blobs', 'sha256', digest.slice('sha256:'.length))
    await writeFile(manifestPath, 'x'.repeat(1000))
    await served.must(500, 'GET', '/v2/team/app/manifests/1')
  })

  test('a push that finds a blob damaged fails, and is not kept as something else', async () => {
    await using served = await Served.start({ writable: true })
    const crafter = new ImageCrafter(served.address, 'team/app')
    const { digest } = await crafter.image('1', [{ tar: tarOf({ file: randomBytes(200_000) }), compression: 'gzip' }])
    const manifest = await bytesOf(await served.must(200, 'GET', `/v2/team/app/manifests/${digest}`))
    const { config } = JSON.parse(manifest.toString()) as { config: Descriptor }
    await writeFile(pathOf(served, config), 'x'.repeat(config.size))
    const answer = await served.must(404, 'PUT', '/v2/team/app/manifests/2', { headers: TYPE, body: manifest })
    assert.deepEqual(await codesOf(answer), ['MANIFEST_BLOB_UNKNOWN'])
    await served.must(404, 'GET', '/v2/team/app/manifests/2')
  })

  test('two clients that push one blob at once both succeed', async () => {
    await using served = await Served.start({ writable: true })
    await Promise.all([served.blob('a/a', BLOB), served.blob('b/b', BLOB), served.blob('a/a', BLOB)])
    for (const repository of ['a/a', 'b/b']) await served.must(200, 'HEAD', `/v2/${repository}/blobs/${blob.digest}`)
  })

  test('a pull while the image is removed is whole, or is told that it is not (hostile #70)', async () => {
    await using served = await Served.start({ writable: true })
    await using other = await openEngine({ root: join(served.root, 'root'), fsync: false })
    for (let round = 0; round < 5; round += 1) {
      const config = await served.blob('team/app', Buffer.from('{}'), MEDIA_TYPES.empty)
      const layer = await served.blob('team/app', BLOB)
      const manifest = await served.document(
        'team/app',
        { schemaVersion: 2, mediaType: MEDIA_TYPES.manifest, config, layers: [layer] },
        '1',
      )
      const pulls = Array.from({ length: 8 }, async () => {
        const answer = await served.request('GET', `/v2/team/app/blobs/${layer.digest}`)
        if (answer.status === 404) return answer.text()
        assert.equal(answer.status, 200)
        return assert.ok((await bytesOf(answer)).equals(BLOB))
      })
      await other.removeImage(`${served.address}/team/app:1`)
      await other.pruneImages({ all: true })
      await Promise.all(pulls)
      await served.must(404, 'GET', `/v2/team/app/manifests/${manifest.digest}`)
    }
  })

  const skip = process.getuid?.() !== 0 && 'mounting a tmpfs needs root'
  test('a full disk is told as such, and keeps nothing (hostile #68)', { skip }, async () => {
    const disk = await mkdtemp(join(tmpdir(), 'strata-full-'))
    mount({ type: 'tmpfs', source: 'tmpfs', options: ['size=8m'] }, disk)
    try {
      const root = join(disk, 'root')
      await using engine = await openEngine({ root, fsync: false })
      await using server = await engine.serve({ listen: ':0', writable: true })
      const begun = await fetch(new URL('/v2/a/blobs/uploads/', server.url), { method: 'POST' })
      const url = new URL(begun.headers.get('location')!, server.url)
      const bytes = randomBytes(12_000_000)
      const answer = await fetch(`${url.href}?digest=${describeBytes('', bytes).digest}`, { method: 'PUT', body: bytes })
      assert.equal(answer.status, 507)
      assert.deepEqual(await readdir(join(root, 'ingest')), [])
      assert.equal((await fetch(url)).status, 404)
      assert.equal((await fetch(new URL('/v2/', server.url))).status, 200)
    } finally {
      unmount(disk)
      await rm(disk, { recursive: true })
    }
  })
})
