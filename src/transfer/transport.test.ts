import assert from 'node:assert/strict'
import { test } from 'node:test'
import { assert as assertProperty, constantFrom, nat, option, property, string, stringMatching } from 'fast-check'
import { isStrataError } from '../base/index.ts'
import { formatReference, parseReference } from '../oci/index.ts'
import { parseTransport } from './transport.ts'

const paths = string({ minLength: 1 }).filter(path => !path.includes(':') && path !== '-')
const names = stringMatching(/^[a-z0-9]{1,8}(?:[-._:@+][A-Za-z0-9]{1,8})?(?:\/[a-z0-9]{1,8})?$/)

test('parseTransport() gives back what a location was put together from', () => {
  assertProperty(
    property(constantFrom('oci', 'oci-archive'), paths, option(names, { nil: undefined }), (kind, path, name) => {
      const expected = { kind, path, ...(name === undefined ? {} : { name }) }
      assert.deepEqual(parseTransport(`${kind}:${path}${name === undefined ? '' : `:${name}`}`), expected)
    }),
  )
  assertProperty(
    property(paths, nat(999_999_999), stringMatching(/^[a-z0-9]{1,20}$/), (path, position, tag) => {
      assert.deepEqual(parseTransport(`docker-archive:${path}`), { kind: 'docker-archive', path })
      assert.deepEqual(parseTransport(`docker-archive:${path}:@${position}`), { kind: 'docker-archive', path, image: position })
      for (const kind of ['oci', 'oci-archive'] as const)
        assert.deepEqual(parseTransport(`${kind}:${path}:@${position}`), { kind, path, name: position })
      const image = parseReference(`localhost:5000/app:${tag}`)
      assert.deepEqual(parseTransport(`docker-archive:${path}:${formatReference(image)}`), { kind: 'docker-archive', path, image })
      assert.deepEqual(parseTransport(`docker://${formatReference(image)}`), { kind: 'docker', reference: image })
    }),
  )
  assertProperty(
    property(string({ minLength: 1 }), text => {
      assert.deepEqual(parseTransport(`dir:${text}`), { kind: 'dir', path: text })
      assert.deepEqual(parseTransport(`strata:${text}`), { kind: 'strata', reference: text })
    }),
  )
})

test('parseTransport() gives a location or a StrataError for any text', () => {
  const prefixes = constantFrom('', 'docker://', 'docker:', 'docker-archive:', 'oci:', 'oci-archive:', 'dir:', 'strata:', 'tar:')
  assertProperty(
    property(prefixes, string(), string(), (prefix, a, b) => {
      try {
        assert.ok('kind' in parseTransport(`${prefix}${a}:${b}`))
      } catch (error) {
        assert.ok(isStrataError(error, 'invalidArgument'), String(error))
      }
    }),
  )
})

test('parseTransport() puts in the tag that a reference leaves out, and keeps a digest', () => {
  const digest = `sha256:${'a'.repeat(64)}`
  const parsed = [`docker://app`, `docker://app@${digest}`, 'docker-archive:x.tar:app'].map(parseTransport)
  assert.deepEqual(parsed, [
    { kind: 'docker', reference: parseReference('app:latest') },
    { kind: 'docker', reference: parseReference(`app@${digest}`) },
    { kind: 'docker-archive', path: 'x.tar', image: parseReference('app:latest') },
  ])
})

test('a bare reference is refused, with the transports that there are; so is what is half a location', () => {
  for (const text of ['debian', 'debian:12', 'localhost:5000/app', '', '://x', 'containers-storage:x'])
    assert.throws(() => parseTransport(text), { code: 'STRATA_TRANSPORT_INVALID', hint: /docker:\/\/REF, .*strata:REF/ }, text)
  for (const text of ['docker:debian', 'oci:', 'oci::tag', 'oci:x:', 'oci:x:a b', 'oci:x:/a', 'dir:', 'strata:', 'docker-archive::x'])
    assert.throws(() => parseTransport(text), { code: 'STRATA_TRANSPORT_INVALID' }, text)
  for (const text of [
    'docker-archive:x:@1x',
    'docker-archive:x:@-1',
    'docker-archive:x:@01',
    `docker-archive:x:a@sha256:${'a'.repeat(64)}`,
  ])
    assert.throws(() => parseTransport(text), { code: 'STRATA_TRANSPORT_INVALID' }, text)
  for (const text of ['docker://', 'docker://UPPER', 'docker-archive:x:', 'docker-archive:x:UP'])
    assert.throws(() => parseTransport(text), { code: 'STRATA_REFERENCE_INVALID' }, text)
})

test('an archive called "-" is refused, with what may have been meant', () => {
  for (const text of ['docker-archive:-', 'docker-archive:-:a:1', 'oci-archive:-', 'oci-archive:-:tag'])
    assert.throws(() => parseTransport(text), { code: 'STRATA_TRANSPORT_INVALID', hint: /\/dev\/stdout.*\.\/-/ }, text)
  assert.deepEqual(parseTransport('docker-archive:./-'), { kind: 'docker-archive', path: './-' })
})

test('a name without end is refused at once', () => {
  const before = performance.now()
  assert.throws(() => parseTransport(`oci:x:${'a-'.repeat(1_000_000)}`), { code: 'STRATA_TRANSPORT_INVALID' })
  assert.throws(() => parseTransport(`oci:x:${'a'.repeat(1000)}!`), { code: 'STRATA_TRANSPORT_INVALID' })
  assert.ok(performance.now() - before < 500)
})

test('parseTransport() repeats no password', () => {
  for (const text of [
    'docker://ann:s3cret@host.test/x',
    'docker:ann:s3cret@host.test/x',
    'ann:s3cret@host.test/x',
    'https://ann:s3cret@h.test/x',
  ])
    assert.throws(
      () => parseTransport(text),
      (error: unknown) => isStrataError(error) && !/s3cret/.test(error.message + error.hint),
      text,
    )
})
