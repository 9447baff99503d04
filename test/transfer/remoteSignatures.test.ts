import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Descriptor, describeBytes, digestOf, MEDIA_TYPES, parseReference } from '../../src/oci/index.ts'
import { connectRepository } from '../../src/registry/index.ts'
import type { Signature } from '../../src/signature/index.ts'
import { RemoteSignatures } from '../../src/transfer/index.ts'
import { lyingServer } from '../support/lyingServer.ts'

/* Registries that lie about signatures, or have too many. */

const SUBJECT = digestOf(Buffer.from('image'))
const TAG = `manifests/${SUBJECT.replace(':', '-')}.sig`
const PAYLOAD_TYPE = 'application/vnd.dev.cosign.simplesigning.v1+json'
const BUNDLE_TYPE = 'application/vnd.dev.sigstore.bundle.v0.3+json'
const PAYLOAD = Buffer.from('a payload')
const CONFIG = describeBytes(MEDIA_TYPES.config, Buffer.from('{}'))

interface Answers {
  /** By the end of the path; what is not here is 404. */
  readonly [path: string]: { readonly type?: string; readonly body: Buffer | string; readonly status?: number } | undefined
}

async function found(answers: Answers): Promise<{ readonly signatures: readonly Signature[]; readonly asked: readonly string[] }> {
  const asked: string[] = []
  await using server = await lyingServer((request, response) => {
    const path = request.url!.replace('/v2/app/', '')
    asked.push(path)
    const answer = answers[path]
    if (answer === undefined) response.writeHead(404).end()
    else response.writeHead(answer.status ?? 200, { 'content-type': answer.type ?? 'application/octet-stream' }).end(answer.body)
  })
  await using repository = await connectRepository(parseReference(`${server.address}/app`), { configDirectory: '/nothing', access: 'pull' })
  return { signatures: await Array.fromAsync(new RemoteSignatures(repository, [SUBJECT], {})), asked }
}

const layer = (fields: object = {}, signature = 'c2ln'): Descriptor => ({
  ...describeBytes(PAYLOAD_TYPE, PAYLOAD),
  annotations: { 'dev.cosignproject.cosign/signature': signature },
  ...fields,
})
const manifestOf = (layers: readonly Descriptor[], fields: object = {}): { readonly type: string; readonly body: Buffer } => ({
  type: MEDIA_TYPES.manifest,
  body: Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: MEDIA_TYPES.manifest, config: CONFIG, layers, ...fields })),
})
const blobs: Answers = { [`blobs/${layer().digest}`]: { body: PAYLOAD } }
const faultsOf = (signatures: readonly Signature[]): readonly string[] => signatures.map(each => ('fault' in each ? each.fault : 'none'))

test('RemoteSignatures finds none where there are none', async () => {
  const { signatures, asked } = await found({})
  assert.deepEqual(signatures, [])
  assert.deepEqual(asked, [TAG, `referrers/${SUBJECT}`, `manifests/${SUBJECT.replace(':', '-')}`])
})

test('RemoteSignatures reads the tag, then what refers to the image, and each payload once', async () => {
  const referring = manifestOf([layer({}, 'dHdv')], { artifactType: 'application/vnd.dev.cosign.artifact.sig.v1+json' })
  const entry = { ...describeBytes(MEDIA_TYPES.manifest, referring.body), artifactType: 'application/vnd.dev.cosign.artifact.sig.v1+json' }
  const unrelated = { ...entry, digest: digestOf(Buffer.from('sbom')), artifactType: 'application/spdx+json' }
  const index = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: MEDIA_TYPES.index, manifests: [unrelated, entry] }))
  const tagged = manifestOf([layer({}, 'b25l'), layer({}, 'b25lMg=='), { ...layer(), mediaType: 'text/plain' }])
  const { signatures, asked } = await found({
    ...blobs,
    [TAG]: tagged,
    [`referrers/${SUBJECT}`]: { type: MEDIA_TYPES.index, body: index },
    [`manifests/${entry.digest}`]: referring,
  })
  assert.deepEqual(
    signatures.map(each => ('signature' in each ? [each.manifest, each.signature, Buffer.from(each.payload).toString()] : each)),
    [
      [digestOf(tagged.body), 'b25l', 'a payload'],
      [digestOf(tagged.body), 'b25lMg==', 'a payload'],
      [entry.digest, 'dHdv', 'a payload'],
    ],
  )
  assert.equal(asked.filter(path => path.startsWith('blobs/')).length, 1)
  assert.ok(!asked.some(path => path.includes(unrelated.digest)))
})

test('hostile #52: a payload that is not what its digest says counts for nothing, and others are read', async () => {
  const other = Buffer.from('another payload')
  const bad = [
    layer(),
    layer({ digest: digestOf(other), size: other.length }),
    layer({ digest: digestOf(Buffer.from('gone')) }),
    layer({ digest: digestOf(Buffer.from('large')), size: 1_000_000_000 }),
  ]
  const { signatures, asked } = await found({
    [TAG]: manifestOf([...bad, layer({ digest: digestOf(Buffer.from('good')), size: 4 })]),
    [`blobs/${bad[0]!.digest}`]: { body: 'A payload' },
    [`blobs/${bad[1]!.digest}`]: { body: Buffer.concat([other, other]) },
    [`blobs/${digestOf(Buffer.from('good'))}`]: { body: 'good' },
  })
  const faults = faultsOf(signatures)
  assert.match(faults[0]!, /^cannot be read \(/)
  assert.match(faults[1]!, /^cannot be read \(/)
  assert.match(faults[2]!, /^cannot be read \(/)
  assert.match(faults[3]!, /^has a payload of 1000000000 bytes/)
  assert.equal(faults[4], 'none')
  assert.ok(!asked.includes(`blobs/${bad[3]!.digest}`), 'what is too large is not asked for')
})

test('hostile #51: a manifest of signatures that is an index, a polyglot, or nothing at all counts for nothing', async () => {
  const wrong = [
    { type: MEDIA_TYPES.index, body: JSON.stringify({ schemaVersion: 2, mediaType: MEDIA_TYPES.index, manifests: [] }) },
    manifestOf([layer()], { manifests: [] }),
    { type: MEDIA_TYPES.dockerManifest, body: manifestOf([layer()]).body },
    { type: MEDIA_TYPES.manifest, body: '<html>' },
    { type: MEDIA_TYPES.manifest, body: '' },
  ]
  for (const answer of wrong) {
    const { signatures } = await found({ ...blobs, [TAG]: answer })
    assert.equal(signatures.length, 1)
    assert.match(faultsOf(signatures)[0]!, /^cannot be read \(Cannot read /)
  }
})

test('hostile #55: more signatures than 500 are no reason to go on', async () => {
  await assert.rejects(found({ ...blobs, [TAG]: manifestOf(Array.from({ length: 501 }, () => layer())) }), {
    kind: 'resourceExhausted',
    code: 'STRATA_TOO_MANY_SIGNATURES',
  })
})

test('hostile #55: nor are more that are listed and not there', async () => {
  const entry = (n: number): Descriptor => ({
    mediaType: MEDIA_TYPES.manifest,
    digest: digestOf(Buffer.from(`signature ${n}`)),
    size: 10,
    artifactType: 'application/vnd.dev.cosign.artifact.sig.v1+json',
  })
  const manifests = Array.from({ length: 501 }, (_, n) => entry(n))
  const listed = { [`referrers/${SUBJECT}`]: { type: MEDIA_TYPES.index, body: JSON.stringify({ schemaVersion: 2, manifests }) } }
  await assert.rejects(found(listed), { code: 'STRATA_TOO_MANY_SIGNATURES' })
  const few = await found({
    [`referrers/${SUBJECT}`]: { type: MEDIA_TYPES.index, body: JSON.stringify({ schemaVersion: 2, manifests: manifests.slice(0, 3) }) },
  })
  assert.deepEqual(few.signatures, [])
})

test('RemoteSignatures says of a sigstore bundle that it cannot count', async () => {
  const { signatures } = await found({ [TAG]: manifestOf([describeBytes(BUNDLE_TYPE, PAYLOAD)], { artifactType: BUNDLE_TYPE }) })
  assert.match(faultsOf(signatures)[0]!, /^is a sigstore bundle, which names no image/)
})

test('RemoteSignatures does not take a registry that fails for one without signatures', async () => {
  const failures: readonly Answers[] = [
    { [TAG]: { status: 403, body: '' } },
    { [TAG]: manifestOf([layer()]), [`blobs/${layer().digest}`]: { status: 403, body: '' } },
    { [`referrers/${SUBJECT}`]: { status: 403, body: '' } },
  ]
  for (const answers of failures) await assert.rejects(found(answers), { code: /^STRATA_/ })
})
