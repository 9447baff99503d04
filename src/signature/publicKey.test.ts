import assert from 'node:assert/strict'
import { createPrivateKey, generateKeyPairSync, type KeyPairKeyObjectResult, sign } from 'node:crypto'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { isSignedBy, parsePublicKey } from './publicKey.ts'

const PEM = { type: 'spki', format: 'pem' } as const
const ec = (namedCurve: string): KeyPairKeyObjectResult => generateKeyPairSync('ec', { namedCurve })
const P256 = ec('P-256')
const pem = P256.publicKey.export(PEM) as string
const RSA = generateKeyPairSync('rsa', { modulusLength: 2048 })

const refuses = (text: string): void =>
  assert.throws(() => parsePublicKey(Buffer.from(text), '"/k.pub"'), {
    kind: 'invalidArgument',
    code: 'STRATA_PUBLIC_KEY_INVALID',
    message: /^Cannot use public key "\/k\.pub": /,
  })

test('parsePublicKey() reads the keys that cosign makes and takes', () => {
  const keys = [
    pem,
    ec('P-384').publicKey.export(PEM),
    RSA.publicKey.export(PEM),
    RSA.publicKey.export({ type: 'pkcs1', format: 'pem' }),
    generateKeyPairSync('ed25519').publicKey.export(PEM),
    `\n${pem}\n\n`,
    pem.replaceAll('\n', '\r\n'),
  ]
  for (const key of keys) parsePublicKey(Buffer.from(key as string), 'k')
})

test('parsePublicKey() refuses what is no public key, or more than one, or too weak', () => {
  refuses('')
  refuses('no key')
  refuses(pem + pem)
  refuses(`${pem}x`)
  refuses(pem.replace('MFk', 'AAA'))
  refuses(pem.replace('-----END PUBLIC KEY', '-----END RSA PUBLIC KEY'))
  refuses(P256.privateKey.export({ type: 'pkcs8', format: 'pem' }) as string)
  refuses((P256.privateKey.export({ type: 'pkcs8', format: 'pem' }) as string).replaceAll('PRIVATE', 'PUBLIC'))
  refuses(ec('secp256k1').publicKey.export(PEM) as string)
  refuses(generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey.export(PEM) as string)
  refuses(generateKeyPairSync('x25519').publicKey.export(PEM) as string)
  refuses(generateKeyPairSync('ed448').publicKey.export(PEM) as string)
  refuses(generateKeyPairSync('dsa', { modulusLength: 2048, divisorLength: 256 }).publicKey.export(PEM) as string)
  refuses(generateKeyPairSync('rsa-pss', { modulusLength: 2048 }).publicKey.export(PEM) as string)
  refuses(pem.padEnd(70_000, '\n'))
})

test('parsePublicKey() throws nothing but its own error, whatever it reads', () => {
  fc.assert(
    fc.property(fc.nat(pem.length - 1), fc.string({ maxLength: 4 }), (at, text) => {
      try {
        parsePublicKey(Buffer.from(pem.slice(0, at) + text + pem.slice(at + text.length)), 'k')
      } catch (error) {
        assert.equal((error as { code?: string }).code, 'STRATA_PUBLIC_KEY_INVALID', String(error))
      }
    }),
  )
})

test('isSignedBy() takes the signature over these bytes by this key, and no other bytes, signature or key', () => {
  const kinds = { ec: P256, rsa: RSA, ed25519: generateKeyPairSync('ed25519'), other: ec('P-256') }
  for (const [kind, { privateKey, publicKey }] of Object.entries(kinds)) {
    const key = parsePublicKey(Buffer.from(publicKey.export(PEM)), kind)
    const bytes = Buffer.from('a payload')
    const signature = sign(kind === 'ed25519' ? null : 'sha256', bytes, privateKey)
    assert.equal(isSignedBy(key, bytes, signature), true)
    assert.equal(isSignedBy(key, Buffer.from('a Payload'), signature), false)
    for (const [other, { publicKey: another }] of Object.entries(kinds))
      if (other !== kind) assert.equal(isSignedBy(parsePublicKey(Buffer.from(another.export(PEM)), other), bytes, signature), false)
    fc.assert(
      fc.property(fc.nat(signature.length - 1), fc.integer({ min: 1, max: 255 }), (at, flip) => {
        const wrong = Buffer.from(signature)
        wrong[at]! ^= flip
        assert.equal(isSignedBy(key, bytes, wrong), false)
      }),
    )
    for (const wrong of [Buffer.alloc(0), signature.subarray(1), Buffer.concat([signature, Buffer.of(0)])])
      assert.equal(isSignedBy(key, bytes, wrong), false)
  }
})

test('isSignedBy() takes no ECDSA signature in another encoding, and none over another hash', () => {
  const key = parsePublicKey(Buffer.from(pem), 'k')
  const privateKey = createPrivateKey(P256.privateKey.export({ type: 'pkcs8', format: 'pem' }))
  const bytes = Buffer.from('a payload')
  assert.equal(isSignedBy(key, bytes, sign('sha256', bytes, { key: privateKey, dsaEncoding: 'ieee-p1363' })), false)
  assert.equal(isSignedBy(key, bytes, sign('sha512', bytes, privateKey)), false)
})
