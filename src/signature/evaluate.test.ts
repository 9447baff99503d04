import assert from 'node:assert/strict'
import { test } from 'node:test'
import { newSigner, payloadFor } from '../../test/support/signing.ts'
import { type Digest, digestOf, parseReference } from '../oci/index.ts'
import type { Verdict } from './evaluate.ts'
import { evaluateRequirements, parsePolicy, type Signature } from './index.ts'

const signer = newSigner()
const other = newSigner()
const IMAGE = {
  reference: parseReference('host.example/app:1'),
  digests: [digestOf(Buffer.from('manifest')), digestOf(Buffer.from('index'))],
}
const key = (of: typeof signer): object => ({ type: 'sigstoreSigned', keyData: Buffer.from(of.publicKey).toString('base64') })

const manifest = (name: string): Digest => digestOf(Buffer.from(name))
function signature(
  name: string,
  { by = signer, digest = IMAGE.digests[0]! }: { readonly by?: typeof signer; readonly digest?: string } = {},
): Signature {
  const payload = payloadFor(digest, 'host.example/app:1')
  return { manifest: manifest(name), payload, signature: by.sign(payload) }
}

/** The verdict, and how many signatures were looked at. */
async function judged(requirements: readonly object[], signatures: readonly Signature[]): Promise<readonly [Verdict, number]> {
  let read = 0
  async function* counted(): AsyncGenerator<Signature> {
    for (const each of signatures) {
      read += 1
      yield each
    }
  }
  const policy = parsePolicy(Buffer.from(JSON.stringify({ default: requirements })), 'p')
  const readKey = (path: string): Promise<Uint8Array> => Promise.reject(new Error(`no ${path}`))
  return [await evaluateRequirements(policy.default, IMAGE, { readKey, signatures: counted() }), read]
}

test('evaluateRequirements() looks at signatures until they are enough, and says which counted', async () => {
  const signatures = [signature('a', { by: other }), signature('b', { digest: IMAGE.digests[1]! }), signature('c')]
  assert.deepEqual(await judged([key(signer)], signatures), [{ isAccepted: true, counted: new Set([manifest('b')]) }, 2])
  assert.deepEqual(await judged([key(signer), key(other)], signatures), [
    { isAccepted: true, counted: new Set([manifest('b'), manifest('a')]) },
    2,
  ])
})

test('evaluateRequirements() asks for no signatures and no keys where they change nothing', async () => {
  const unreadable = { type: 'sigstoreSigned', keyPath: '/k' }
  assert.deepEqual(await judged([{ type: 'insecureAcceptAnything' }], [signature('a')]), [{ isAccepted: true, counted: new Set() }, 0])
  assert.deepEqual(await judged([unreadable, { type: 'reject' }], [signature('a')]), [
    { isAccepted: false, reason: 'reject', lacksSignature: false },
    0,
  ])
  const [verdict, read] = await judged([key(signer), { type: 'signedBy', keyType: 'GPGKeys', keyData: 'eA==' }], [signature('a')])
  assert.deepEqual([verdict, read], [{ isAccepted: false, reason: 'unsupported requirement: signedBy', lacksSignature: false }, 0])
  await assert.rejects(judged([unreadable], []), /no \/k/)
})

test('evaluateRequirements() tells of the first signatures what is wrong with each', async () => {
  const wrong = ['a', 'b', 'c', 'd', 'e', 'f', 'g'].map((name): Signature => ({ manifest: manifest(name), fault: `is ${name}` }))
  const [verdict, read] = await judged([key(signer)], wrong)
  assert.equal(read, 7)
  assert.ok(!verdict.isAccepted && verdict.lacksSignature)
  assert.match(verdict.reason, /^no signature of it counts: signature sha256:[0-9a-f]{64} is a; .* is e; and 2 more$/)
})

test('evaluateRequirements() refuses a signature that is not plain base64', async () => {
  const payload = payloadFor(IMAGE.digests[0]!, 'host.example/app:1')
  const good = signer.sign(payload)
  for (const text of [
    '',
    `${good}\n`,
    ` ${good}`,
    good.replace(/=*$/, '%'),
    Buffer.from(good, 'base64').toString('base64url'),
    'A'.repeat(100_000),
  ]) {
    const [verdict] = await judged([key(signer)], [{ manifest: manifest('a'), payload, signature: text }])
    assert.equal(verdict.isAccepted, text === good, text)
  }
})
