import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, before, describe, test } from 'node:test'
import { type Descriptor, describeBytes, MEDIA_TYPES } from '../../src/oci/index.ts'
import { codesOf, Served, sha512 } from './served.ts'

/*
 * What the distribution-spec (github.com/opencontainers/distribution-spec, spec.md) asks of registries, point by point:
 * one test for each MUST or SHOULD, under the name of the section that has it.
 */

const NOWHERE = `sha256:${'0'.repeat(64)}`
const BLOB = randomBytes(100_000)
const blob = describeBytes(MEDIA_TYPES.layer, BLOB)
const TYPE = { 'content-type': MEDIA_TYPES.manifest }
const OCTETS = { 'content-type': 'application/octet-stream' }

let served: Served
let manifest: Descriptor
let manifestText: string

before(async () => {
  served = await Served.start({ writable: true })
  const config = await served.blob('team/app', Buffer.from('{}'), MEDIA_TYPES.empty)
  const layer = await served.blob('team/app', BLOB)
  // Spaces that no JSON library would write again.
  manifestText = `{"schemaVersion": 2,  "mediaType":"${MEDIA_TYPES.manifest}", "config":${JSON.stringify(config)}, "layers":[${JSON.stringify(layer)}]}`
  manifest = describeBytes(MEDIA_TYPES.manifest, Buffer.from(manifestText))
  await served.must(201, 'PUT', '/v2/team/app/manifests/1', { headers: { 'content-type': MEDIA_TYPES.manifest }, body: manifestText })
})
after(() => served[Symbol.asyncDispose]())

const bytesOf = async (response: Response): Promise<Buffer> => Buffer.from(await response.arrayBuffer())
const begin = async (repository: string, query = ''): Promise<string> =>
  (await served.must(202, 'POST', `/v2/${repository}/blobs/uploads/${query}`)).headers.get('location')!
const chunk = (bytes: Uint8Array, start: number): { headers: Record<string, string>; body: Uint8Array } => ({
  headers: { ...OCTETS, 'content-range': `${start}-${start + bytes.length - 1}` },
  body: bytes,
})

describe('Determining Support', () => {
  test('GET /v2/ answers 200', async () => {
    await served.must(200, 'GET', '/v2/')
  })
})

describe('Pulling manifests', () => {
  test('a manifest comes with 200, by tag and by digest, byte for byte', async () => {
    for (const at of ['1', manifest.digest])
      assert.equal(await (await served.must(200, 'GET', `/v2/team/app/manifests/${at}`)).text(), manifestText)
  })
  test('Docker-Content-Digest has its digest', async () => {
    const { headers } = await served.must(200, 'GET', '/v2/team/app/manifests/1')
    assert.equal(headers.get('docker-content-digest'), manifest.digest)
  })
  test('Content-Type is what was pushed, without parameters', async () => {
    const { headers } = await served.must(200, 'GET', '/v2/team/app/manifests/1')
    assert.equal(headers.get('content-type'), MEDIA_TYPES.manifest)
  })
  test('a manifest that is not in the repository is 404', async () => {
    for (const at of ['none', NOWHERE, '.no-tag', 'sha256:none']) {
      const answer = await served.must(404, 'GET', `/v2/team/app/manifests/${at}`)
      assert.deepEqual(await codesOf(answer), ['MANIFEST_UNKNOWN'])
    }
    // It is in another one.
    await served.artifact('team/other', 'other', {}, '1')
    await served.must(404, 'GET', `/v2/team/other/manifests/${manifest.digest}`)
  })
  test('a name that does not match the expression names nothing', async () => {
    for (const name of ['UPPER', 'a/-b', 'a..b', '%2e%2e/etc', 'a//b', `${'a/'.repeat(128)}a`]) {
      const { status } = await served.request('GET', `/v2/${name}/manifests/1`)
      assert.ok(status === 400 || status === 404, `${name}: ${status}`)
    }
  })
})

describe('Pulling blobs', () => {
  test('a blob comes with 200, byte for byte', async () => {
    const answer = await served.must(200, 'GET', `/v2/team/app/blobs/${blob.digest}`)
    assert.ok((await bytesOf(answer)).equals(BLOB))
  })
  test('Docker-Content-Digest has the digest of the body', async () => {
    const { headers } = await served.must(200, 'GET', `/v2/team/app/blobs/${blob.digest}`)
    assert.equal(headers.get('docker-content-digest'), blob.digest)
  })
  test('a blob that is not in the repository is 404', async () => {
    for (const digest of [NOWHERE, 'sha256:none', 'none']) {
      const answer = await served.must(404, 'GET', `/v2/team/app/blobs/${digest}`)
      assert.deepEqual(await codesOf(answer), ['BLOB_UNKNOWN'])
    }
    await served.artifact('team/other', 'other', {}, '1')
    await served.must(404, 'GET', `/v2/team/other/blobs/${blob.digest}`)
  })
  test('Range is followed', async () => {
    for (const [range, start, end] of [
      ['bytes=0-0', 0, 0],
      ['bytes=99990-', 99_990, 99_999],
      ['bytes=50000-50099', 50_000, 50_099],
      ['bytes=-10', 99_990, 99_999],
      ['bytes=99999-200000', 99_999, 99_999],
    ] as const) {
      const answer = await served.must(206, 'GET', `/v2/team/app/blobs/${blob.digest}`, { headers: { range } })
      assert.equal(answer.headers.get('content-range'), `bytes ${start}-${end}/100000`)
      assert.ok((await bytesOf(answer)).equals(BLOB.subarray(start, end + 1)), range)
    }
    const beyond = await served.must(416, 'GET', `/v2/team/app/blobs/${blob.digest}`, { headers: { range: 'bytes=100000-' } })
    assert.equal(beyond.headers.get('content-range'), 'bytes */100000')
    await served.must(200, 'GET', `/v2/team/app/blobs/${blob.digest}`, { headers: { range: 'bytes=0-1,5-6' } })
  })
})

describe('Checking if content exists in the registry', () => {
  test('HEAD answers 200 with digest and length, and without a body', async () => {
    for (const [path, { digest, size }] of [
      ['manifests/1', manifest],
      [`manifests/${manifest.digest}`, manifest],
      [`blobs/${blob.digest}`, blob],
    ] as const) {
      const { headers } = await served.must(200, 'HEAD', `/v2/team/app/${path}`)
      assert.equal(headers.get('docker-content-digest'), digest)
      assert.equal(headers.get('content-length'), String(size))
    }
  })
  test('HEAD answers 404 for what is not there', async () => {
    for (const path of ['manifests/none', `manifests/${NOWHERE}`, `blobs/${NOWHERE}`])
      await served.must(404, 'HEAD', `/v2/team/app/${path}`)
  })
})

describe('Push', () => {
  test('a manifest may have a subject that is not there', async () => {
    await served.artifact('push/early', 'about nothing', { subject: { mediaType: MEDIA_TYPES.manifest, digest: NOWHERE, size: 10 } })
  })
  test('a manifest that names what is not there is MANIFEST_BLOB_UNKNOWN', async () => {
    const config = await served.blob('push/lacking', Buffer.from('{}'), MEDIA_TYPES.empty)
    const bytes = JSON.stringify({ schemaVersion: 2, mediaType: MEDIA_TYPES.manifest, config, layers: [{ ...blob, digest: NOWHERE }] })
    const answer = await served.must(404, 'PUT', '/v2/push/lacking/manifests/1', {
      headers: { 'content-type': MEDIA_TYPES.manifest },
      body: bytes,
    })
    assert.deepEqual(await codesOf(answer), ['MANIFEST_BLOB_UNKNOWN'])
    await served.must(404, 'GET', '/v2/push/lacking/manifests/1')
  })
})

describe('Pushing blobs', () => {
  test('a digest that is invalid, or by another algorithm, is 400', async () => {
    for (const digest of ['sha256:0', 'md5:d41d8cd98f00b204e9800998ecf8427e', '']) {
      const answer = await served.must(400, 'PUT', `${await begin('push/a')}?digest=${digest}`, { headers: OCTETS, body: BLOB })
      assert.deepEqual(await codesOf(answer), ['DIGEST_INVALID'])
      await served.must(400, 'POST', `/v2/push/a/blobs/uploads/?digest=${digest}`, { headers: OCTETS, body: BLOB })
    }
    await served.must(400, 'POST', '/v2/push/a/blobs/uploads/?digest-algorithm=md5')
  })
})

describe('POST then PUT', () => {
  test('POST answers 202 and a Location with a UUID', async () => {
    assert.match(await begin('push/a'), /[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/)
  })
  test('PUT answers 201 and the Location of the blob', async () => {
    const location = await begin('push/b')
    const { headers } = await served.must(201, 'PUT', `${location}?digest=${blob.digest}`, { headers: OCTETS, body: BLOB })
    assert.ok((await bytesOf(await served.must(200, 'GET', headers.get('location')!))).equals(BLOB))
  })
  test('bytes that are not what the digest says are refused, and nothing of them is there', async () => {
    const digest = describeBytes('x', Buffer.from('others')).digest
    const answer = await served.must(400, 'PUT', `${await begin('push/c')}?digest=${digest}`, { headers: OCTETS, body: BLOB })
    assert.deepEqual(await codesOf(answer), ['DIGEST_INVALID'])
    await served.must(404, 'GET', `/v2/push/c/blobs/${digest}`)
  })
})

describe('Single POST', () => {
  test('it answers 201 and the Location of the blob', async () => {
    const { headers } = await served.must(201, 'POST', `/v2/push/d/blobs/uploads/?digest=${blob.digest}`, { headers: OCTETS, body: BLOB })
    assert.ok((await bytesOf(await served.must(200, 'GET', headers.get('location')!))).equals(BLOB))
  })
  test('the digest must be that of the body', async () => {
    await served.must(400, 'POST', `/v2/push/d/blobs/uploads/?digest=${NOWHERE}`, { headers: OCTETS, body: BLOB })
  })
})

describe('Pushing a blob in chunks', () => {
  test('each chunk is answered with 202, Location and Range; the session ends with PUT and 201', async () => {
    let location = await begin('push/chunks')
    for (const start of [0, 40_000, 80_000]) {
      const part = BLOB.subarray(start, start + 40_000)
      const { headers } = await served.must(202, 'PATCH', location, chunk(part, start))
      assert.equal(headers.get('range'), `0-${start + part.length - 1}`)
      location = headers.get('location')!
    }
    const { headers } = await served.must(201, 'PUT', `${location}?digest=${blob.digest}`)
    assert.ok((await bytesOf(await served.must(200, 'GET', headers.get('location')!))).equals(BLOB))
  })
  test('the last chunk may come with PUT', async () => {
    const location = await begin('push/chunks2')
    await served.must(202, 'PATCH', location, chunk(BLOB.subarray(0, 70_000), 0))
    await served.must(201, 'PUT', `${location}?digest=${blob.digest}`, chunk(BLOB.subarray(70_000), 70_000))
    await served.must(200, 'HEAD', `/v2/push/chunks2/blobs/${blob.digest}`)
  })
  test('a chunk out of order is 416, also the last one, and the upload goes on where it was', async () => {
    const location = await begin('push/chunks3')
    await served.must(416, 'PATCH', location, chunk(BLOB.subarray(10), 10))
    await served.must(202, 'PATCH', location, chunk(BLOB.subarray(0, 50_000), 0))
    await served.must(416, 'PATCH', location, chunk(BLOB.subarray(0, 50_000), 0))
    const answer = await served.must(416, 'PUT', `${location}?digest=${blob.digest}`, chunk(BLOB.subarray(60_000), 60_000))
    assert.equal(answer.headers.get('range'), '0-49999')
    await served.must(201, 'PUT', `${location}?digest=${blob.digest}`, chunk(BLOB.subarray(50_000), 50_000))
  })
  test('digest-algorithm announces another algorithm', async () => {
    const location = await begin('push/sha512', '?digest-algorithm=sha512')
    await served.must(202, 'PATCH', location, chunk(BLOB, 0))
    await served.must(201, 'PUT', `${location}?digest=${sha512(BLOB)}`)
    assert.ok((await bytesOf(await served.must(200, 'GET', `/v2/push/sha512/blobs/${sha512(BLOB)}`))).equals(BLOB))
  })
  test('GET tells with 204, Location and Range how far an upload is', async () => {
    const location = await begin('push/chunks4')
    await served.must(202, 'PATCH', location, chunk(BLOB.subarray(0, 12_345), 0))
    const { headers } = await served.must(204, 'GET', location)
    assert.equal(headers.get('range'), '0-12344')
    assert.equal(headers.get('location'), location)
  })
})

describe('Cancel a blob upload', () => {
  test('DELETE answers 204, and the upload is gone', async () => {
    const location = await begin('push/cancelled')
    await served.must(202, 'PATCH', location, chunk(BLOB, 0))
    await served.must(204, 'DELETE', location)
    for (const method of ['GET', 'DELETE'])
      assert.deepEqual(await codesOf(await served.must(404, method, location)), ['BLOB_UPLOAD_UNKNOWN'])
    assert.deepEqual(await codesOf(await served.must(404, 'PATCH', location, chunk(BLOB, 0))), ['BLOB_UPLOAD_UNKNOWN'])
  })
})

describe('Mounting a blob from another repository', () => {
  test('it answers 201 and the Location of the blob', async () => {
    const { headers } = await served.must(201, 'POST', `/v2/push/mounted/blobs/uploads/?mount=${blob.digest}&from=team/app`)
    assert.ok((await bytesOf(await served.must(200, 'GET', headers.get('location')!))).equals(BLOB))
  })
  test('what cannot be mounted begins an upload with 202', async () => {
    for (const query of [`mount=${NOWHERE}&from=team/app`, `mount=${blob.digest}&from=no/such`, `mount=${blob.digest}`]) {
      const location = await begin('push/unmounted', `?${query}`)
      await served.must(204, 'GET', location)
    }
    await served.must(404, 'HEAD', `/v2/push/unmounted/blobs/${blob.digest}`)
  })
})

describe('Pushing Manifests', () => {
  const put = (at: string, body: string, type: string = MEDIA_TYPES.manifest): Promise<Response> =>
    served.must(201, 'PUT', `/v2/team/app/manifests/${at}`, { headers: { 'content-type': type }, body })

  test('it answers 201, the Location of the manifest, and its digest', async () => {
    const { headers } = await put('pushed', manifestText)
    assert.equal(headers.get('docker-content-digest'), manifest.digest)
    assert.equal(await (await served.must(200, 'GET', headers.get('location')!)).text(), manifestText)
  })
  test('parameters of Content-Type are ignored', async () => {
    await put('parameters', manifestText, `${MEDIA_TYPES.manifest}; charset=utf-8`)
    assert.equal((await served.must(200, 'GET', '/v2/team/app/manifests/parameters')).headers.get('content-type'), MEDIA_TYPES.manifest)
  })
  test('the list of blobs may be empty', async () => {
    const config = await served.blob('push/empty', Buffer.from('{}'), MEDIA_TYPES.empty)
    await served.document('push/empty', { schemaVersion: 2, mediaType: MEDIA_TYPES.manifest, config, layers: [] }, '1')
  })
  test('by digest it may give tags, ten and more, and says which in OCI-Tag', async () => {
    const tags = Array.from({ length: 12 }, (_, position) => `many-${position}`)
    const { headers } = await put(`${manifest.digest}?${tags.map(tag => `tag=${tag}`).join('&')}`, manifestText)
    assert.deepEqual(headers.get('oci-tag')!.split(', '), tags)
    for (const tag of tags) await served.must(200, 'HEAD', `/v2/team/app/manifests/${tag}`)
    const tooMany = Array.from({ length: 200 }, (_, position) => `tag=t${position}`).join('&')
    await served.must(414, 'PUT', `/v2/team/app/manifests/${manifest.digest}?${tooMany}`, { headers: TYPE, body: manifestText })
  })
  test('by a digest of another algorithm it is found under that, and under its tags', async () => {
    const digest = sha512(Buffer.from(manifestText))
    const { headers } = await put(`${digest}?tag=longer`, manifestText)
    assert.equal(headers.get('docker-content-digest'), digest)
    for (const at of [digest, 'longer']) {
      const answer = await served.must(200, 'GET', `/v2/team/app/manifests/${at}`)
      assert.equal(answer.headers.get('docker-content-digest'), digest)
      assert.equal(await answer.text(), manifestText)
    }
  })
  test('a digest that is not that of the body is refused', async () => {
    const answer = await served.must(400, 'PUT', `/v2/team/app/manifests/${NOWHERE}`, { headers: TYPE, body: manifestText })
    assert.deepEqual(await codesOf(answer), ['DIGEST_INVALID'])
  })
  test('a repository that does not exist is 404', async () => {
    assert.deepEqual(await codesOf(await served.must(404, 'GET', '/v2/no/such/tags/list')), ['NAME_UNKNOWN'])
    await served.must(404, 'GET', '/v2/no/such/manifests/1')
  })
  test('manifests of 4 megabytes are taken, and what is longer is 413', async () => {
    const config = await served.blob('push/long', Buffer.from('{}'), MEDIA_TYPES.empty)
    const long = (size: number): Readonly<Record<string, unknown>> & { readonly mediaType: string } => {
      const empty = { schemaVersion: 2, mediaType: MEDIA_TYPES.manifest, config, layers: [], annotations: { long: '' } }
      return { ...empty, annotations: { long: 'x'.repeat(size - JSON.stringify(empty).length) } }
    }
    const { digest } = await served.document('push/long', long(4_194_304), '1')
    assert.equal((await served.must(200, 'HEAD', `/v2/push/long/manifests/${digest}`)).headers.get('content-length'), '4194304')
    const answer = await served.must(413, 'PUT', '/v2/push/long/manifests/2', { headers: TYPE, body: JSON.stringify(long(4_194_305)) })
    assert.deepEqual(await codesOf(answer), ['MANIFEST_INVALID'])
  })
})

describe('Pushing Manifests with Subject', () => {
  test('OCI-Subject says that the subject was seen', async () => {
    const config = await served.blob('team/app', Buffer.from('{}'), MEDIA_TYPES.empty)
    const body = JSON.stringify({ schemaVersion: 2, mediaType: MEDIA_TYPES.manifest, config, layers: [], subject: manifest })
    const { headers } = await served.must(201, 'PUT', '/v2/team/app/manifests/with-subject', { headers: TYPE, body })
    assert.equal(headers.get('oci-subject'), manifest.digest)
    assert.equal(
      (await served.must(201, 'PUT', '/v2/team/app/manifests/1', { headers: TYPE, body: manifestText })).headers.get('oci-subject'),
      null,
    )
    await served.must(202, 'DELETE', '/v2/team/app/manifests/with-subject')
  })
})

describe('Listing Tags', () => {
  const list = async (query = ''): Promise<{ readonly tags: readonly string[]; readonly name: string; readonly link: string | null }> => {
    const answer = await served.must(200, 'GET', `/v2/tags/app/tags/list${query}`)
    return { ...((await answer.json()) as { tags: string[]; name: string }), link: answer.headers.get('link') }
  }
  const TAGS = ['1.0', '1.10', '1.9', 'B', '_x', 'a', 'latest']
  before(async () => {
    for (const tag of TAGS.toReversed()) await served.artifact('tags/app', 'tagged', {}, tag)
  })

  test('it is JSON with the name and all tags in order', async () => {
    assert.deepEqual(await list(), { name: 'tags/app', tags: TAGS, link: null })
  })
  test('n limits it, and Link leads on', async () => {
    const { tags, link } = await list('?n=3')
    assert.deepEqual(tags, TAGS.slice(0, 3))
    const [, next = ''] = /^<([^>]+)>; rel="next"$/.exec(link!) ?? []
    assert.deepEqual(((await (await served.must(200, 'GET', next)).json()) as { tags: string[] }).tags, TAGS.slice(3, 6))
    assert.deepEqual(await list('?n=7'), { name: 'tags/app', tags: TAGS, link: null })
    assert.deepEqual(await list('?n=100'), { name: 'tags/app', tags: TAGS, link: null })
  })
  test('n=0 lists nothing and has no Link', async () => {
    assert.deepEqual(await list('?n=0'), { name: 'tags/app', tags: [], link: null })
  })
  test('last begins after a tag, with n or without', async () => {
    assert.deepEqual((await list('?last=B')).tags, ['_x', 'a', 'latest'])
    assert.deepEqual((await list('?n=1&last=1.9')).tags, ['B'])
    assert.deepEqual((await list('?last=zzz')).tags, [])
  })
})

describe('Listing Referrers', () => {
  const list = async (
    digest: string,
    query = '',
    repository = 'refs/app',
  ): Promise<{ index: { manifests: Descriptor[] }; headers: Headers }> => {
    const answer = await served.must(200, 'GET', `/v2/${repository}/referrers/${digest}${query}`)
    return { index: (await answer.json()) as { manifests: Descriptor[] }, headers: answer.headers }
  }
  let subject: Descriptor
  let typed: Descriptor
  let untyped: Descriptor
  let list2: Descriptor
  before(async () => {
    subject = await served.artifact('refs/app', 'subject', {}, '1')
    typed = await served.artifact('refs/app', 'sbom', { subject, artifactType: 'application/sbom', annotations: { by: 'me' } })
    untyped = await served.artifact('refs/app', 'other', { subject })
    list2 = await served.document('refs/app', {
      schemaVersion: 2,
      mediaType: MEDIA_TYPES.index,
      manifests: [],
      subject,
      annotations: { an: 'index' },
    })
  })

  test('it is an index of all that names the digest, with artifact types and annotations', async () => {
    const { index, headers } = await list(subject.digest)
    assert.equal(headers.get('content-type'), MEDIA_TYPES.index)
    const expected = [
      { ...typed, artifactType: 'application/sbom', annotations: { by: 'me' } },
      { ...untyped, artifactType: MEDIA_TYPES.empty },
      { ...list2, annotations: { an: 'index' } },
    ]
    assert.deepEqual(index, {
      schemaVersion: 2,
      mediaType: MEDIA_TYPES.index,
      manifests: expected.sort((a, b) => (a.digest < b.digest ? -1 : 1)),
    })
  })
  test('artifactType filters, and OCI-Filters-Applied says so', async () => {
    const { index, headers } = await list(subject.digest, '?artifactType=application/sbom')
    assert.deepEqual(
      index.manifests.map(({ digest }) => digest),
      [typed.digest],
    )
    assert.equal(headers.get('oci-filters-applied'), 'artifactType')
    assert.equal((await list(subject.digest)).headers.get('oci-filters-applied'), null)
    assert.deepEqual((await list(subject.digest, '?artifactType=none/such')).index.manifests, [])
  })
  test('nothing found is an empty index, never 404', async () => {
    assert.deepEqual((await list(NOWHERE)).index.manifests, [])
    assert.deepEqual((await list(subject.digest, '', 'no/such')).index.manifests, [])
    // The same subject in another repository has others, or none.
    await served.artifact('refs/twin', 'subject', {}, '1')
    assert.deepEqual((await list(subject.digest, '', 'refs/twin')).index.manifests, [])
  })
  test('a digest that is invalid is 400', async () => {
    await served.must(400, 'GET', '/v2/refs/app/referrers/sha256:none')
  })
  test('a referrer that came before its subject is listed', async () => {
    const late = describeBytes(MEDIA_TYPES.manifest, Buffer.from('late'))
    const early = await served.artifact('refs/early', 'early', { subject: late })
    assert.deepEqual(
      (await list(late.digest, '', 'refs/early')).index.manifests.map(({ digest }) => digest),
      [early.digest],
    )
  })
  test('a list that is too long goes on at Link', async () => {
    const about = await served.artifact('refs/many', 'subject', {}, '1')
    for (let count = 0; count < 3; count += 1)
      await served.artifact('refs/many', `referrer ${count}`, { subject: about, annotations: { long: 'x'.repeat(1_000_000) } })
    const found: string[] = []
    let pages = 0
    for (let next = `/v2/refs/many/referrers/${about.digest}`; next !== ''; pages += 1) {
      const answer = await served.must(200, 'GET', next)
      found.push(...((await answer.json()) as { manifests: Descriptor[] }).manifests.map(({ digest }) => digest))
      next = /^<([^>]+)>; rel="next"$/.exec(answer.headers.get('link') ?? '')?.[1] ?? ''
    }
    assert.equal(new Set(found).size, 3)
    assert.equal(pages, 2)
  })
})

describe('Enabling the Referrers API', () => {
  test('what the tag of the fallback schema lists is listed', async () => {
    const subject = await served.artifact('refs/old', 'subject', {}, '1')
    const old = await served.artifact('refs/old', 'old', { subject, artifactType: 'application/old' })
    await served.document(
      'refs/old',
      { schemaVersion: 2, mediaType: MEDIA_TYPES.index, manifests: [old] },
      subject.digest.replace(':', '-'),
    )
    const answer = await served.must(200, 'GET', `/v2/refs/old/referrers/${subject.digest}`)
    assert.deepEqual(
      ((await answer.json()) as { manifests: Descriptor[] }).manifests.map(({ digest }) => digest),
      [old.digest],
    )
  })
})

describe('Deleting tags', () => {
  test('it answers 202; then the tag is 404, and the manifest is not', async () => {
    const { digest } = await served.artifact('delete/tag', 'text', {}, '1')
    await served.artifact('delete/tag', 'text', {}, '2')
    await served.must(202, 'DELETE', '/v2/delete/tag/manifests/1')
    await served.must(404, 'GET', '/v2/delete/tag/manifests/1')
    await served.must(200, 'GET', '/v2/delete/tag/manifests/2')
    await served.must(200, 'GET', `/v2/delete/tag/manifests/${digest}`)
    await served.must(404, 'DELETE', '/v2/delete/tag/manifests/1')
  })
})

describe('Deleting Manifests', () => {
  test('it answers 202; then the digest is 404, and so is every tag that stood for it', async () => {
    const { digest } = await served.artifact('delete/manifest', 'text', {}, '1')
    await served.artifact('delete/manifest', 'text', {}, '2')
    await served.artifact('delete/manifest', 'another', {}, '3')
    await served.must(202, 'DELETE', `/v2/delete/manifest/manifests/${digest}`)
    for (const at of ['1', '2', digest]) await served.must(404, 'GET', `/v2/delete/manifest/manifests/${at}`)
    await served.must(200, 'GET', '/v2/delete/manifest/manifests/3')
    await served.must(404, 'DELETE', `/v2/delete/manifest/manifests/${digest}`)
  })
  test('a referrer that is deleted is not listed any more', async () => {
    const subject = await served.artifact('delete/referrer', 'subject', {}, '1')
    const { digest } = await served.artifact('delete/referrer', 'about', { subject })
    await served.must(202, 'DELETE', `/v2/delete/referrer/manifests/${digest}`)
    await served.must(404, 'GET', `/v2/delete/referrer/manifests/${digest}`)
    const answer = await served.must(200, 'GET', `/v2/delete/referrer/referrers/${subject.digest}`)
    assert.deepEqual(((await answer.json()) as { manifests: [] }).manifests, [])
  })
  test('one that an index names is not deleted, and is as it was', async () => {
    const part = await served.artifact('delete/part', 'part')
    await served.document('delete/part', { schemaVersion: 2, mediaType: MEDIA_TYPES.index, manifests: [part] }, 'all')
    await served.artifact('delete/part', 'part', {}, 'tagged')
    await served.must(405, 'DELETE', `/v2/delete/part/manifests/${part.digest}`)
    for (const at of [part.digest, 'tagged']) await served.must(200, 'GET', `/v2/delete/part/manifests/${at}`)
    await served.must(202, 'DELETE', '/v2/delete/part/manifests/all')
  })
  test('one that only an index without a tag names is deleted, and that index with it', async () => {
    const part = await served.artifact('delete/left', 'part', {}, 'part')
    const other = await served.artifact('delete/left', 'other', {}, 'other')
    const index = await served.document('delete/left', { schemaVersion: 2, mediaType: MEDIA_TYPES.index, manifests: [part, other] }, 'all')
    await served.must(202, 'DELETE', '/v2/delete/left/manifests/all')
    await served.must(200, 'GET', `/v2/delete/left/manifests/${index.digest}`)
    await served.must(202, 'DELETE', `/v2/delete/left/manifests/${part.digest}`)
    for (const at of ['part', part.digest, index.digest]) await served.must(404, 'GET', `/v2/delete/left/manifests/${at}`)
    await served.must(200, 'GET', '/v2/delete/left/manifests/other')
  })
  test('a repository that does not exist is 404', async () => {
    await served.must(404, 'DELETE', `/v2/no/such/manifests/${NOWHERE}`)
  })
})

describe('Deleting Blobs', () => {
  test('it answers 202, and 404 for what is not there', async () => {
    const { digest } = await served.blob('delete/blob', randomBytes(100))
    await served.must(202, 'DELETE', `/v2/delete/blob/blobs/${digest}`)
    await served.must(404, 'GET', `/v2/delete/blob/blobs/${digest}`)
    await served.must(404, 'DELETE', `/v2/delete/blob/blobs/${digest}`)
    await served.must(404, 'DELETE', `/v2/team/app/blobs/${NOWHERE}`)
  })
})

describe('Content Management that is disabled', () => {
  test('is 405 where clients may only pull', async () => {
    await using readOnly = await Served.start()
    for (const [method, path] of [
      ['DELETE', '/v2/team/app/manifests/1'],
      ['DELETE', `/v2/team/app/manifests/${NOWHERE}`],
      ['DELETE', `/v2/team/app/blobs/${NOWHERE}`],
      ['POST', '/v2/team/app/blobs/uploads/'],
      ['PUT', '/v2/team/app/manifests/1'],
    ] as const)
      assert.deepEqual(await codesOf(await readOnly.must(405, method, path)), ['UNSUPPORTED'])
  })
})

describe('Error Codes', () => {
  test('an error is JSON with a code of the list, in letters and underscores', async () => {
    for (const path of ['/v2/no/such/tags/list', '/v2/UPPER/tags/list', '/other', '/v2/team/app/blobs/x', '/v2/%zz/tags/list']) {
      const answer = await served.request('GET', path)
      assert.equal(answer.headers.get('content-type'), 'application/json')
      const { errors } = (await answer.json()) as { errors: { code: string; message: string }[] }
      assert.match(errors[0]!.code, /^[A-Z_]+$/)
      assert.equal(typeof errors[0]!.message, 'string')
    }
  })
})
