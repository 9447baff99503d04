import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { isStrataError } from '../base/index.ts'
import {
  chainIds,
  describeBytes,
  digestAlgorithm,
  digestHex,
  digestOf,
  type ImageId,
  imageIdOf,
  isDigest,
  parseDiffId,
  parseDigest,
} from './index.ts'

/** sha256 of nothing and of "abc": FIPS 180-2, appendix B.1. */
const EMPTY = 'sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'
const ABC = 'sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'
const ABC_512 =
  'sha512:ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f'

test('digestOf() gives the published hashes', () => {
  assert.equal(digestOf(new Uint8Array()), EMPTY)
  assert.equal(digestOf(Buffer.from('abc')), ABC)
  assert.equal(digestOf(Buffer.from('abc'), 'sha512'), ABC_512)
  assert.equal(imageIdOf(Buffer.from('abc')), ABC)
  assert.deepEqual(describeBytes('text/plain', Buffer.from('abc')), { mediaType: 'text/plain', digest: ABC, size: 3 })
})

test('parseDigest() takes sha256 and sha512 and takes them apart', () => {
  assert.equal(digestHex(parseDigest(ABC)), ABC.slice(7))
  assert.equal(digestAlgorithm(parseDigest(ABC)), 'sha256')
  assert.equal(digestHex(parseDigest(ABC_512)), ABC_512.slice(7))
  assert.equal(digestAlgorithm(parseDigest(ABC_512)), 'sha512')
})

const NO_DIGESTS = [
  '',
  'sha256:',
  'sha256:../../x',
  `sha256:../${ABC.slice(10)}`,
  ABC.toUpperCase(),
  `sha256:${ABC.slice(7).toUpperCase()}`,
  ABC.slice(7),
  ABC.slice(0, -1),
  `${ABC}0`,
  `${ABC}\n`,
  `\n${ABC}`,
  ` ${ABC}`,
  `${ABC}/../x`,
  `sha1:${'0'.repeat(40)}`,
  `md5:${'0'.repeat(32)}`,
  `sha384:${'0'.repeat(96)}`,
  `sha512:${'0'.repeat(64)}`,
  `sha256:${'0'.repeat(128)}`,
  `sha256:${'０'.repeat(64)}`,
]

test('hostile #54: parseDigest() takes nothing that is not an algorithm and its lower-case hex', () => {
  for (const text of NO_DIGESTS) {
    assert.equal(isDigest(text), false, text)
    for (const parse of [parseDigest, parseDiffId]) {
      assert.throws(() => parse(text), { code: 'STRATA_DIGEST_INVALID', kind: 'invalidArgument' })
    }
  }
})

test('a DiffId is sha256', () => {
  assert.equal(parseDiffId(ABC), ABC)
  assert.throws(() => parseDiffId(ABC_512), { code: 'STRATA_DIGEST_INVALID' })
})

test('the four identities are not each other', () => {
  // @ts-expect-error a DiffId is not the digest of a blob unless it is read as one
  parseDiffId(ABC) satisfies ReturnType<typeof parseDigest>
  // @ts-expect-error the digest of a manifest is not an image id
  parseDigest(ABC) satisfies ImageId
  assert.equal<string>(parseDigest(parseDiffId(ABC)), ABC)
})

test('parseDigest() throws nothing but a StrataError, in one printable line', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), text => {
      try {
        parseDigest(text)
      } catch (error) {
        assert.ok(isStrataError(error, 'invalidArgument'))
        assert.match(error.message, /^Cannot parse digest "[\x20-\x7e]*…?": [\x20-\x7e]+$/)
      }
    }),
  )
})

// Made with coreutils alone: a=$(printf 'layer one' | sha256sum), …,
// chain 2 = printf 'sha256:%s sha256:%s' $a $b | sha256sum, chain 3 = printf 'sha256:%s sha256:%s' $chain2 $c | sha256sum.
const LAYERS = [
  'f191e625176e7514249870c60bc24622131b04927a418001d1969c9cecd260f1',
  '77c7ed05b2e49df2e55d70cb007508cc66b2f5419a940bfd6f8749ba7db77c45',
  '6483085b79dcef99d4d90b43a910666cdce078bf772da453728f8c385fbfdf2f',
]
const CHAIN = [
  'f191e625176e7514249870c60bc24622131b04927a418001d1969c9cecd260f1',
  'd440fc2ac5bfa225471b58c5d6b4283504f5dfbcd6251023a635cdcd0c058e3e',
  '952689aceeac7e377b602804de533a4ad47ba634e3917ca7cb071e5ff2bff6cd',
]

test('chainIds() gives the chain that sha256sum gives', () => {
  const diffIds = LAYERS.map(hex => parseDiffId(`sha256:${hex}`))
  assert.deepEqual<string[]>(
    chainIds(diffIds),
    CHAIN.map(hex => `sha256:${hex}`),
  )
  assert.deepEqual(
    diffIds.map((diffId, at) => digestOf(Buffer.from(['layer one', 'layer two', 'layer three'][at] ?? '')) === parseDigest(diffId)),
    [true, true, true],
  )
})

test('chainIds() of a prefix is a prefix, and the order of layers matters', () => {
  const diffIds = LAYERS.map(hex => parseDiffId(`sha256:${hex}`))
  assert.deepEqual(chainIds([]), [])
  assert.deepEqual(chainIds(diffIds.slice(0, 2)), chainIds(diffIds).slice(0, 2))
  assert.notEqual(chainIds(diffIds.toReversed()).at(-1), chainIds(diffIds).at(-1))
})
