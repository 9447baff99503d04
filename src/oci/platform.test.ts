import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { isStrataError } from '../base/index.ts'
import {
  choosePlatform,
  type Descriptor,
  describeBytes,
  formatPlatform,
  matchesPlatform,
  MEDIA_TYPES,
  normalizePlatform,
  parsePlatform,
  type Platform,
} from './index.ts'
import { platformCandidates } from './platformChoice.ts'

const HOST = { os: 'linux', architecture: 'arm64' }

test('parsePlatform() and formatPlatform() agree on one spelling', () => {
  const spellings: readonly (readonly [typed: string, normal: string])[] = [
    ['linux/amd64', 'linux/amd64'],
    ['Linux/X86_64', 'linux/amd64'],
    ['linux/x86-64/v1', 'linux/amd64'],
    ['linux/amd64/v3', 'linux/amd64/v3'],
    ['linux/amd64/3', 'linux/amd64/v3'],
    ['linux/i386', 'linux/386'],
    ['linux/i686', 'linux/386'],
    ['linux/arm64', 'linux/arm64'],
    ['linux/arm64/v8', 'linux/arm64'],
    ['linux/arm64/8', 'linux/arm64'],
    ['linux/arm64/v8.0', 'linux/arm64'],
    ['linux/arm64/v8.2', 'linux/arm64/v8.2'],
    ['linux/arm64/v9.0', 'linux/arm64/v9'],
    ['linux/aarch64', 'linux/arm64'],
    ['linux/arm', 'linux/arm/v7'],
    ['linux/arm/7', 'linux/arm/v7'],
    ['linux/arm/v6', 'linux/arm/v6'],
    ['linux/armhf', 'linux/arm/v7'],
    ['linux/armel', 'linux/arm/v6'],
    ['linux/ppc64le', 'linux/ppc64le'],
    ['macos/arm64', 'darwin/arm64'],
    ['windows(10.0.17763.1234)/amd64', 'windows(10.0.17763.1234)/amd64'],
    ['unknown/unknown', 'unknown/unknown'],
  ]
  for (const [typed, normal] of spellings) {
    assert.equal(formatPlatform(parsePlatform(typed)), normal)
    assert.deepEqual(parsePlatform(normal), parsePlatform(typed))
  }
  assert.deepEqual(parsePlatform('windows(10.0.17763)/amd64'), { os: 'windows', architecture: 'amd64', 'os.version': '10.0.17763' })
})

test('parsePlatform() fills one word up from the host', () => {
  assert.equal(formatPlatform(parsePlatform('linux', HOST)), 'linux/arm64')
  assert.equal(formatPlatform(parsePlatform('windows', { ...HOST, variant: 'v9' })), 'windows/arm64/v9')
  assert.equal(formatPlatform(parsePlatform('amd64', HOST)), 'linux/amd64')
  assert.equal(formatPlatform(parsePlatform('armhf', HOST)), 'linux/arm/v7')
  assert.equal(formatPlatform(parsePlatform('macos', HOST)), 'darwin/arm64')
  assert.throws(() => parsePlatform('linux'), { code: 'STRATA_PLATFORM_INVALID' })
})

test('parsePlatform() refuses what is no specifier', () => {
  for (const text of [
    '',
    '/',
    'linux/',
    '/amd64',
    'linux//v8',
    'a/b/c/d',
    'linux/amd 64',
    'linux/amd64\n',
    'linux()/amd64',
    'beos',
    'amd64(1)',
    'lіnux/amd64',
  ]) {
    assert.throws(() => parsePlatform(text, HOST), { code: 'STRATA_PLATFORM_INVALID', kind: 'invalidArgument' }, text)
  }
})

test('normalizePlatform() keeps the other fields and understands Node’s names', () => {
  assert.deepEqual(normalizePlatform({ os: 'linux', architecture: 'x64', 'os.features': ['a'] }), {
    os: 'linux',
    architecture: 'amd64',
    'os.features': ['a'],
  })
})

const entry = (platform: string | undefined, more: Partial<Descriptor> = {}): Descriptor => ({
  ...describeBytes(MEDIA_TYPES.manifest, Buffer.from(platform ?? 'none')),
  ...(platform === undefined ? {} : { platform: parsePlatform(platform) }),
  ...more,
})
const shown = (descriptors: readonly Descriptor[]): string[] =>
  descriptors.map(({ platform }) => (platform === undefined ? 'none' : formatPlatform(platform)))
const candidates = (offered: readonly string[], wanted: string): string[] =>
  shown(
    platformCandidates(
      offered.map(platform => entry(platform)),
      parsePlatform(wanted),
    ),
  )

const EVERYTHING = [
  'linux/arm/v5',
  'linux/386',
  'linux/amd64',
  'linux/arm/v6',
  'linux/amd64/v2',
  'linux/arm64/v9',
  'linux/amd64/v4',
  'linux/arm/v8',
  'linux/amd64/v3',
  'linux/arm64',
  'linux/arm/v7',
  'windows/amd64',
  'linux/s390x',
  'linux/riscv64',
  'linux/arm64/v8.2',
]

test('platformCandidates() falls back to older variants, best first, never to newer ones', () => {
  assert.deepEqual(candidates(EVERYTHING, 'linux/arm/v7'), ['linux/arm/v7', 'linux/arm/v6', 'linux/arm/v5'])
  assert.deepEqual(candidates(EVERYTHING, 'linux/arm'), ['linux/arm/v7', 'linux/arm/v6', 'linux/arm/v5'])
  assert.deepEqual(candidates(EVERYTHING, 'linux/arm/v6'), ['linux/arm/v6', 'linux/arm/v5'])
  assert.deepEqual(candidates(EVERYTHING, 'linux/arm/v5'), ['linux/arm/v5'])
  assert.deepEqual(candidates(EVERYTHING, 'linux/amd64'), ['linux/amd64', 'linux/386'])
  assert.deepEqual(candidates(EVERYTHING, 'linux/amd64/v3'), ['linux/amd64/v3', 'linux/amd64/v2', 'linux/amd64', 'linux/386'])
  assert.deepEqual(candidates(EVERYTHING, 'linux/amd64/v4'), [
    'linux/amd64/v4',
    'linux/amd64/v3',
    'linux/amd64/v2',
    'linux/amd64',
    'linux/386',
  ])
  const arm32 = ['linux/arm/v8', 'linux/arm/v7', 'linux/arm/v6', 'linux/arm/v5']
  assert.deepEqual(candidates(EVERYTHING, 'linux/arm64/v8'), ['linux/arm64', ...arm32])
  assert.deepEqual(candidates(EVERYTHING, 'linux/arm64/v8.4'), ['linux/arm64/v8.2', 'linux/arm64', ...arm32])
  assert.deepEqual(candidates(EVERYTHING, 'linux/arm64/v9.2'), ['linux/arm64/v9', 'linux/arm64/v8.2', 'linux/arm64', ...arm32])
  assert.deepEqual(candidates(['linux/arm64/v8.8', 'linux/arm64/v8.7', 'linux/arm64/v9.1'], 'linux/arm64/v9.2'), [
    'linux/arm64/v9.1',
    'linux/arm64/v8.7',
  ])
  assert.deepEqual(candidates(EVERYTHING, 'linux/s390x'), ['linux/s390x'])
  assert.deepEqual(candidates(EVERYTHING, 'linux/mips'), [])
  assert.deepEqual(candidates(EVERYTHING, 'darwin/arm64'), [])
})

test('choosePlatform() takes spellings as equal and the first of equals', () => {
  const first = entry(undefined, { platform: { os: 'linux', architecture: 'aarch64', variant: 'v8' }, annotations: { n: '1' } })
  const second = entry('linux/arm64', { annotations: { n: '2' } })
  assert.equal(choosePlatform([first, second], HOST), first)
  assert.equal(choosePlatform([second, first], { ...HOST, variant: '8' }), second)
  assert.equal(choosePlatform([], HOST), undefined)
})

test('platformCandidates() leaves out attestations and artifacts, and puts entries without a platform last', () => {
  const attestation = entry('unknown/unknown', { annotations: { 'vnd.docker.reference.type': 'attestation-manifest' } })
  const disguised = entry('linux/arm64', { annotations: { 'vnd.docker.reference.type': 'attestation-manifest' } })
  const artifact = entry(undefined, { mediaType: 'application/spdx+json' })
  const [bare, nested, fallback] = [entry(undefined), entry(undefined, { mediaType: MEDIA_TYPES.index }), entry('linux/arm/v7')]
  assert.deepEqual(platformCandidates([attestation, disguised, artifact, bare, nested, fallback], HOST), [fallback, bare, nested])
})

test('a Windows image needs the build of its host, and an image wants no features that are not there', () => {
  const host = parsePlatform('windows(10.0.17763.1)/amd64')
  const offers = ['windows(10.0.20348.5)/amd64', 'windows(10.0.17763.99)/amd64', 'windows/amd64']
  assert.deepEqual(
    shown(
      platformCandidates(
        offers.map(offer => entry(offer)),
        host,
      ),
    ),
    offers.slice(1),
  )
  assert.equal(matchesPlatform({ ...host, 'os.features': ['win32k'] }, host), false)
  assert.equal(matchesPlatform({ ...host, 'os.features': ['win32k'] }, { ...host, 'os.features': ['win32k', 'x'] }), true)
  assert.equal(
    matchesPlatform({ os: 'linux', architecture: 'amd64', 'os.version': '5' }, { os: 'linux', architecture: 'amd64', 'os.version': '6' }),
    true,
  )
})

const name = fc.constantFrom('linux', 'windows', 'darwin', 'amd64', 'arm', 'arm64', '386', 'aarch64', 'mips', 'X86_64', 'odd.name-1')
const variant = fc.option(fc.constantFrom('v1', 'v3', 'v5', 'v6', 'v7', 'v8', 'v8.3', 'v9', '9.1', 'softfloat', 'v9999999999'), {
  nil: undefined,
})
const platform: fc.Arbitrary<Platform> = fc
  .tuple(name, name, variant)
  .map(([os, architecture, variant]) => ({ os, architecture, ...(variant === undefined ? {} : { variant }) }))

test('parsePlatform() after formatPlatform() is normalizePlatform(), which is a projection', () => {
  fc.assert(
    fc.property(platform, platform => {
      const normal = normalizePlatform(platform)
      assert.deepEqual(normalizePlatform(normal), normal)
      assert.deepEqual(parsePlatform(formatPlatform(platform)), normal)
      assert.ok(matchesPlatform(platform, platform))
    }),
  )
})

test('matchesPlatform() is an order: a runs on b and b on a only when they are the same, and it is transitive', () => {
  fc.assert(
    fc.property(platform, platform, platform, (a, b, c) => {
      if (matchesPlatform(a, b) && matchesPlatform(b, a)) assert.equal(formatPlatform(a), formatPlatform(b))
      if (matchesPlatform(a, b) && matchesPlatform(b, c)) assert.ok(matchesPlatform(a, c))
    }),
    { numRuns: 5000 },
  )
})

test('parsePlatform() throws nothing but a StrataError', () => {
  fc.assert(
    fc.property(fc.oneof(fc.string({ unit: 'binary' }), fc.string({ unit: fc.constantFrom(...'linux/()v8.'.split('')) })), text => {
      try {
        const parsed = parsePlatform(text, HOST)
        assert.deepEqual(parsePlatform(formatPlatform(parsed)), parsed)
      } catch (error) {
        assert.ok(isStrataError(error, 'invalidArgument'), String(error))
      }
    }),
    { numRuns: 3000 },
  )
})
