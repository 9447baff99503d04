import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { isStrataError } from '../base/index.ts'
import { parsePolicy } from './index.ts'

const parse = (policy: unknown): ReturnType<typeof parsePolicy> =>
  parsePolicy(Buffer.from(typeof policy === 'string' ? policy : JSON.stringify(policy)), '/etc/containers/policy.json')
const ACCEPT = [{ type: 'insecureAcceptAnything' }]
const signedBy = (fields: object): object => ({ default: [{ type: 'sigstoreSigned', ...fields }] })
const identity = (signedIdentity: object): object => signedBy({ keyPath: '/k', signedIdentity })

test('parsePolicy() reads requirements, scopes, keys and identities', () => {
  const policy = parse({
    default: [{ type: 'reject' }],
    transports: {
      docker: {
        '': ACCEPT,
        'host:5000/team': [{ type: 'sigstoreSigned', keyPaths: ['/a', '/b'], signedIdentity: { type: 'matchExact' } }],
      },
      'docker-daemon': { '': ACCEPT, 'docker.io/library/x:1': ACCEPT },
      dir: { '/srv/images': ACCEPT },
      unknown: { 'any thing': ACCEPT },
    },
  })
  assert.deepEqual(policy.default, [{ type: 'reject' }])
  assert.deepEqual(policy.transports.get('docker')?.get('host:5000/team'), [
    { type: 'sigstoreSigned', keys: [{ path: '/a' }, { path: '/b' }], signedIdentity: { type: 'matchExact' } },
  ])
  assert.deepEqual([...policy.transports.keys()], ['docker', 'docker-daemon', 'dir', 'unknown'])
})

test('parsePolicy() takes matchRepoDigestOrExact where a requirement names no identity', () => {
  assert.deepEqual(parse(signedBy({ keyData: 'a2V5' })).default, [
    {
      type: 'sigstoreSigned',
      keys: [{ bytes: Buffer.from('key'), place: 'keyData' }],
      signedIdentity: { type: 'matchRepoDigestOrExact' },
    },
  ])
})

test('parsePolicy() keeps what Strata cannot check as a requirement that nothing fulfils', () => {
  const cases: readonly (readonly [object, string])[] = [
    [{ type: 'signedBy', keyType: 'GPGKeys', keyPath: '/k' }, 'signedBy'],
    [{ type: 'sigstoreSigned', fulcio: { caPath: '/ca', oidcIssuer: 'https://x', subjectEmail: 'a@b' } }, 'sigstoreSigned with fulcio'],
    [{ type: 'sigstoreSigned', pki: {} }, 'sigstoreSigned with pki'],
    [{ type: 'sigstoreSigned', keyPath: '/k', rekorPublicKeyDatas: ['eA=='] }, 'sigstoreSigned with rekorPublicKeyDatas'],
  ]
  for (const [requirement, what] of cases) assert.deepEqual(parse({ default: [requirement] }).default, [{ type: 'unsupported', what }])
})

const WRONG: Readonly<Record<string, unknown>> = {
  'no default': {},
  'default is null': { default: null },
  'default is empty': { default: [] },
  'default is an object': { default: {} },
  'a requirement is a string': { default: ['reject'] },
  'a requirement has no type': { default: [{}] },
  'a requirement of an unknown type': { default: [{ type: 'signedBaseLayer' }] },
  'another case': { default: [{ type: 'Reject' }] },
  'an unknown field at the top': { default: ACCEPT, comment: 'x' },
  'an unknown field of a requirement': { default: [{ type: 'reject', why: 'x' }] },
  'a name twice':
    '{"default":[{"type":"insecureAcceptAnything"}],"transports":{"docker":{"x":[{"type":"reject"}],"x":[{"type":"insecureAcceptAnything"}]}}}',
  'something after it': '{"default":[{"type":"insecureAcceptAnything"}]} {}',
  'a comment': '{"default":[{"type":"insecureAcceptAnything"}]} // all',
  'transports is a list': { default: ACCEPT, transports: [] },
  'a transport is null': { default: ACCEPT, transports: { docker: null } },
  'a scope is null': { default: ACCEPT, transports: { docker: { x: null } } },
  'a scope is empty': { default: ACCEPT, transports: { docker: { x: [] } } },
  'dir has a relative scope': { default: ACCEPT, transports: { dir: { 'srv/x': ACCEPT } } },
  'dir has /': { default: ACCEPT, transports: { dir: { '/': ACCEPT } } },
  'oci has a scope with ..': { default: ACCEPT, transports: { oci: { '/srv/../x': ACCEPT } } },
  'oci has a scope with // in it': { default: ACCEPT, transports: { oci: { '/srv//x': ACCEPT } } },
  'docker-archive has a scope': { default: ACCEPT, transports: { 'docker-archive': { '/x': ACCEPT } } },
  'docker-daemon has an id': { default: ACCEPT, transports: { 'docker-daemon': { [`sha256:${'a'.repeat(64)}`]: ACCEPT } } },
  'no key': signedBy({}),
  'two ways to give keys': signedBy({ keyPath: '/k', keyData: 'eA==' }),
  'a key and a CA': signedBy({ keyPath: '/k', fulcio: {} }),
  'a relative key path': signedBy({ keyPath: 'k.pub' }),
  'keyPaths is a string': signedBy({ keyPaths: '/k' }),
  'no keyPaths': signedBy({ keyPaths: [] }),
  'keyData is no base64': signedBy({ keyData: '-----BEGIN' }),
  'keyData is empty': signedBy({ keyData: '' }),
  'keyType where there is none': signedBy({ keyType: 'GPGKeys', keyPath: '/k' }),
  'GPG without keyType': { default: [{ type: 'signedBy', keyPath: '/k' }] },
  'GPG without keys': { default: [{ type: 'signedBy', keyType: 'GPGKeys' }] },
  'an identity without type': identity({}),
  'an identity of an unknown type': identity({ type: 'matchAny' }),
  'an identity with an unknown field': identity({ type: 'matchExact', dockerReference: 'x' }),
  'exactReference without one': identity({ type: 'exactReference' }),
  'exactReference of a repository': identity({ type: 'exactReference', dockerReference: 'docker.io/library/x' }),
  'exactReference that is none': identity({ type: 'exactReference', dockerReference: 'UPPER:1' }),
  'exactRepository with a tag': identity({ type: 'exactRepository', dockerRepository: 'x:1' }),
  'remapIdentity without signedPrefix': identity({ type: 'remapIdentity', prefix: 'host' }),
  'remapIdentity of a short name': identity({ type: 'remapIdentity', prefix: 'busybox', signedPrefix: 'host' }),
  'remapIdentity with a tag': identity({ type: 'remapIdentity', prefix: 'host.example/x:1', signedPrefix: 'host' }),
  'remapIdentity with a digest': identity({
    type: 'remapIdentity',
    prefix: `host.example/x@sha256:${'a'.repeat(64)}`,
    signedPrefix: 'host',
  }),
  'remapIdentity of nothing': identity({ type: 'remapIdentity', prefix: '', signedPrefix: 'host.example' }),
  'remapIdentity with a final slash': identity({ type: 'remapIdentity', prefix: 'host.example/', signedPrefix: 'host.example' }),
  'more than a megabyte': `{"default":[{"type":"insecureAcceptAnything"}]}${' '.repeat(1024 * 1024)}`,
}

for (const [title, policy] of Object.entries(WRONG)) {
  test(`parsePolicy() refuses: ${title}`, () => {
    assert.throws(() => parse(policy), {
      kind: 'invalidArgument',
      code: 'STRATA_POLICY_INVALID',
      message: /^Cannot read signature policy "\/etc\/containers\/policy.json": /,
    })
  })
}

test('parsePolicy() takes prefixes in full form', () => {
  for (const prefix of ['docker.io', 'docker.io/library', 'docker.io/library/busybox', 'host.example:5000', 'localhost/a/b']) {
    assert.deepEqual(parse(identity({ type: 'remapIdentity', prefix, signedPrefix: prefix })).default[0], {
      type: 'sigstoreSigned',
      keys: [{ path: '/k' }],
      signedIdentity: { type: 'remapIdentity', prefix, signedPrefix: prefix },
    })
  }
})

/** Words of policies in any order, so that the deeper places are reached. */
const word = fc.constantFrom(
  'default',
  'transports',
  'docker',
  'dir',
  '',
  'type',
  'reject',
  'sigstoreSigned',
  'signedBy',
  'keyPath',
  'keyDatas',
  'signedIdentity',
  'remapIdentity',
  'prefix',
  '/k',
  'eA==',
  '__proto__',
)
const { policyLike } = fc.letrec(tie => ({
  policyLike: fc.oneof(
    { maxDepth: 6 },
    word,
    fc.jsonValue(),
    fc.array(tie('policyLike'), { maxLength: 3 }),
    fc.dictionary(word, tie('policyLike'), { maxKeys: 4 }),
  ),
}))

test('parsePolicy() throws nothing but its own error, whatever it reads', () => {
  const readable = (bytes: Uint8Array): void => {
    try {
      parsePolicy(bytes, 'p')
    } catch (error) {
      assert.ok(isStrataError(error, 'invalidArgument') && error.code === 'STRATA_POLICY_INVALID', String(error))
    }
  }
  fc.assert(fc.property(fc.uint8Array(), readable))
  fc.assert(
    fc.property(policyLike, fc.boolean(), (value, asDefault) =>
      readable(Buffer.from(JSON.stringify(asDefault ? { default: [value] } : value))),
    ),
  )
})
