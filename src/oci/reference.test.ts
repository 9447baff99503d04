import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { isStrataError } from '../base/index.ts'
import {
  familiarName,
  formatReference,
  parseDigest,
  parseReference,
  type Reference,
  shortNameIn,
  withDefaultTag,
  withTag,
} from './index.ts'

const HEX = 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'
const DIGEST = `sha256:${HEX}`

/** What is typed, its canonical form, and its familiar form where that is not what was typed. */
const GOOD: readonly (readonly [typed: string, canonical: string, familiar?: string])[] = [
  ['debian', 'docker.io/library/debian'],
  ['debian:12', 'docker.io/library/debian:12'],
  ['debian:5000', 'docker.io/library/debian:5000'],
  ['team/app', 'docker.io/team/app'],
  ['team/app/part', 'docker.io/team/app/part'],
  ['library/debian', 'docker.io/library/debian', 'debian'],
  ['docker.io/debian', 'docker.io/library/debian', 'debian'],
  ['docker.io/library/debian:12', 'docker.io/library/debian:12', 'debian:12'],
  ['docker.io/team/app', 'docker.io/team/app', 'team/app'],
  ['index.docker.io/debian', 'docker.io/library/debian', 'debian'],
  ['index.docker.io/team/app:1', 'docker.io/team/app:1', 'team/app:1'],
  ['library/debian/extra', 'docker.io/library/debian/extra'],
  ['localhost/app', 'localhost/app'],
  ['localhost:5000/app', 'localhost:5000/app'],
  ['localhost:5000/team/app:1', 'localhost:5000/team/app:1'],
  ['localhost', 'docker.io/library/localhost'],
  ['localhost:5000', 'docker.io/library/localhost:5000'],
  ['registry:5000/app', 'registry:5000/app'],
  ['registry:65535/app', 'registry:65535/app'],
  ['registry.example.com/a', 'registry.example.com/a'],
  ['registry.example.com:443/library/a', 'registry.example.com:443/library/a'],
  ['192.168.0.1/a', '192.168.0.1/a'],
  ['192.168.0.1:5000/a', '192.168.0.1:5000/a'],
  ['[::1]/a', '[::1]/a'],
  ['[2001:db8::1]:5000/a:x', '[2001:db8::1]:5000/a:x'],
  ['EXAMPLE/app', 'EXAMPLE/app'],
  ['Example.com/app', 'Example.com/app'],
  ['xn--n3h.com/app', 'xn--n3h.com/app'],
  ['a.b', 'docker.io/library/a.b'],
  ['a__b/c---d/e_f.g', 'docker.io/a__b/c---d/e_f.g'],
  ['app:_x', 'docker.io/library/app:_x'],
  ['app:A.b-C_d', 'docker.io/library/app:A.b-C_d'],
  [`app:${'t'.repeat(128)}`, `docker.io/library/app:${'t'.repeat(128)}`],
  [`app@${DIGEST}`, `docker.io/library/app@${DIGEST}`],
  [`app:1@${DIGEST}`, `docker.io/library/app:1@${DIGEST}`],
  [`localhost:5000/app:1@${DIGEST}`, `localhost:5000/app:1@${DIGEST}`],
  [`app@sha512:${HEX}${HEX}`, `docker.io/library/app@sha512:${HEX}${HEX}`],
  [HEX.slice(1), `docker.io/library/${HEX.slice(1)}`],
  [`${HEX}:1`, `docker.io/library/${HEX}:1`],
  // An image id is a well-formed name with a tag: who takes both looks for the id first.
  [DIGEST, `docker.io/library/${DIGEST}`],
  [`docker.io/library/${HEX}`, `docker.io/library/${HEX}`, `library/${HEX}`],
  ['docker.io/localhost/app', 'docker.io/localhost/app'],
  ['docker.io/a.b/app', 'docker.io/a.b/app'],
  ['a'.repeat(247), `docker.io/library/${'a'.repeat(247)}`],
  [`registry:5000/${'a'.repeat(255)}`, `registry:5000/${'a'.repeat(255)}`],
]

test('parseReference() gives every reference one canonical and one familiar form', () => {
  for (const [typed, canonical, familiar = typed] of GOOD) {
    const reference = parseReference(typed)
    assert.equal(formatReference(reference), canonical)
    assert.equal(familiarName(reference), familiar)
    assert.deepEqual(parseReference(canonical), reference)
    assert.deepEqual(parseReference(familiar), reference)
  }
})

test('parseReference() tells domain, path, tag and digest apart', () => {
  assert.deepEqual(parseReference(`localhost:5000/team/app:1@${DIGEST}`), {
    domain: 'localhost:5000',
    path: 'team/app',
    tag: '1',
    digest: parseDigest(DIGEST),
  })
  assert.deepEqual(parseReference('debian'), { domain: 'docker.io', path: 'library/debian' })
})

const BAD: readonly (readonly [text: string, message: RegExp])[] = [
  ['', /at least one character/],
  [HEX, /64 hexadecimal digits/],
  ['UPPER', /only lower-case letters/],
  ['team/App', /only lower-case letters/],
  ['localhost:5000/Uppercase/app', /only lower-case letters/],
  ['a'.repeat(300), /has 308 characters, more than 255/],
  ['a'.repeat(248), /has 256 characters, more than 255/],
  [`registry:5000/${'a'.repeat(256)}`, /has 256 characters, more than 255/],
  [`${'a'.repeat(256)}.com/app`, /host name/],
  [`a@${DIGEST}:tag`, /no digest/],
  [`a@${DIGEST}@${DIGEST}`, /no digest/],
  ['a@', /no digest/],
  ['a@sha256:abc', /no digest/],
  [`a@sha1:${'0'.repeat(40)}`, /no digest/],
  [`a@sha256:${HEX.toUpperCase()}`, /no digest/],
  ['a@sha256:../../x', /no digest/],
  [`@${DIGEST}`, /repository name/],
  ['dеbian', /"d\\u0435bian".*repository name/],
  ['debian\u200b', /repository name/],
  ['exаmple.com/app', /host name/],
  ['registry:99999/app', /port "99999"/],
  ['registry:65536/app', /port "65536"/],
  ['registry:0/app', /port "0"/],
  ['registry:/app', /host name/],
  ['registry:port/app', /host name/],
  ['[::1/app', /host name/],
  ['[fe80::1%eth0]:5000/app', /host name/],
  ['-bad.com/app', /host name/],
  ['bad-.com/app', /host name/],
  ['a..b/app', /host name/],
  ['user@host.com/app', /no digest/],
  ['https://example.com/app', /does not begin with "https:/],
  ['localhost:5000/', /repository name/],
  ['/app', /repository name/],
  ['app/', /repository name/],
  ['a//b', /repository name/],
  ['a/../b', /repository name/],
  ['example.com/../b', /repository name/],
  ['a___b', /repository name/],
  ['a._b', /repository name/],
  ['_a', /repository name/],
  ['a-', /repository name/],
  ['.a', /repository name/],
  ['app:', /tag/],
  ['app:-x', /tag/],
  ['app:.x', /tag/],
  ['app:a:b', /tag/],
  ['app:a/b', /host name/],
  [`app:${'t'.repeat(129)}`, /tag/],
  ['app:é', /tag/],
  [' app', /repository name/],
  ['app\n', /repository name/],
  ['app:1\n', /tag/],
]

test('hostile #61: parseReference() refuses what distribution/reference refuses, and says which part is wrong', () => {
  for (const [text, message] of BAD) {
    assert.throws(
      () => parseReference(text),
      (error: unknown) => {
        assert.ok(isStrataError(error, 'invalidArgument'), text)
        assert.equal(error.code, 'STRATA_REFERENCE_INVALID')
        assert.match(error.message, message)
        return true
      },
      text,
    )
  }
})

test('hostile #61: parseReference() takes long input in linear time', () => {
  const started = process.cpuUsage().user
  for (const part of ['a', 'a-', '_', '-', 'a/', 'a.', ':', '[', '0:']) {
    assert.throws(() => parseReference(`${part.repeat(1_000_000)}!`), { code: 'STRATA_REFERENCE_INVALID' })
  }
  assert.ok(process.cpuUsage().user - started < 2_000_000)
})

test('withTag() replaces the tag, keeps the digest and checks', () => {
  assert.equal(familiarName(withTag(parseReference('debian:11'), '12')), 'debian:12')
  assert.equal(familiarName(withTag(parseReference(`debian@${DIGEST}`), '12')), `debian:12@${DIGEST}`)
  for (const tag of ['', 'a b', 'a/b', '-a', 't'.repeat(129), 'a\n']) {
    assert.throws(() => withTag(parseReference('debian'), tag), { code: 'STRATA_REFERENCE_INVALID' })
  }
})

test('withDefaultTag() adds latest where nothing says which image', () => {
  assert.equal(familiarName(withDefaultTag(parseReference('debian'))), 'debian:latest')
  assert.equal(familiarName(withDefaultTag(parseReference('debian:12'))), 'debian:12')
  assert.equal(familiarName(withDefaultTag(parseReference(`debian@${DIGEST}`))), `debian@${DIGEST}`)
})

const lower = 'abcdefghijklmnopqrstuvwxyz0123456789'.split('')
const word = fc.string({ unit: fc.constantFrom(...lower), minLength: 1, maxLength: 8 })
const component = fc
  .tuple(word, fc.array(fc.tuple(fc.constantFrom('.', '_', '__', '-', '---'), word), { maxLength: 2 }))
  .map(([first, more]) => first + more.flat().join(''))
const hostWord = fc.stringMatching(/^[a-zA-Z0-9]([a-zA-Z0-9-]{0,6}[a-zA-Z0-9])?$/)
const port = fc.integer({ min: 1, max: 65_535 }).map(number => `:${number}`)
const domain = fc.oneof(
  fc.constantFrom('docker.io', 'localhost', 'index.docker.io', '[::1]'),
  fc.tuple(hostWord, hostWord, fc.oneof(fc.constant(''), port)).map(([a, b, end]) => `${a}.${b}${end}`),
  fc.tuple(hostWord, port).map(([host, end]) => host + end),
)
const typed = fc
  .record({
    domain: fc.option(domain),
    path: fc.array(fc.oneof(component, fc.constantFrom('library', 'localhost', HEX)), { minLength: 1, maxLength: 3 }),
    tag: fc.option(fc.stringMatching(/^\w[\w.-]{0,10}$/)),
    digest: fc.option(fc.constantFrom(DIGEST, `sha512:${HEX}${HEX}`)),
  })
  // A first component with a dot is a host, and not every one is a valid host.
  .filter(({ domain, path }) => domain !== null || path.length === 1 || path[0]?.includes('.') !== true)
  .map(({ domain, path, tag, digest }) => {
    const name = domain === null ? path.join('/') : `${domain}/${path.join('/')}`
    return name + (tag === null ? '' : `:${tag}`) + (digest === null ? '' : `@${digest}`)
  })
  .filter(text => text !== HEX)

test('parseReference() after formatReference() or familiarName() is the identity', () => {
  fc.assert(
    fc.property(typed, text => {
      const reference = parseReference(text)
      assert.deepEqual(parseReference(formatReference(reference)), reference)
      assert.deepEqual(parseReference(familiarName(reference)), reference)
      assert.equal(formatReference(parseReference(familiarName(reference))), formatReference(reference))
    }),
    { numRuns: 3000 },
  )
})

test('parseReference() throws nothing but a StrataError, and what it takes fits the grammar', () => {
  const noise = fc.string({ unit: fc.constantFrom(...'aZ0./:@_-[]~ \n\0é'.split('')) })
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string({ unit: 'binary' }),
        noise,
        fc.tuple(typed, noise).map(parts => parts.join('')),
      ),
      text => {
        let reference: Reference
        try {
          reference = parseReference(text)
        } catch (error) {
          assert.ok(isStrataError(error, 'invalidArgument'))
          assert.match(error.message, /^Cannot parse reference "[\x20-\x7e]*…?": [\x20-\x7e…]+$/)
          return
        }
        assert.match(
          formatReference(reference),
          /^[a-zA-Z0-9.:[\]-]+\/[a-z0-9._/-]+(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(@sha(256|512):[0-9a-f]+)?$/,
        )
        assert.deepEqual(parseReference(formatReference(reference)), reference)
      },
    ),
    { numRuns: 5000 },
  )
})

test('parseReference() says what to leave out of an address, and repeats no password', () => {
  assert.throws(() => parseReference('docker://localhost:5601/x:1'), {
    message: 'Cannot parse reference "docker://localhost:5601/x:1": a name does not begin with "docker://"',
    hint: 'Write it without "docker://".',
  })
  for (const scheme of ['', 'docker://', 'https://', 'docker:']) {
    for (const password of ['s3cret', 's3/cret@:s3cret', 'sha256:s3cret']) {
      for (const place of ['registry.example/x:1', 'localhost:5000/x', `host/x@${DIGEST}`, 'localhost', 'a.b']) {
        assert.throws(
          () => parseReference(`${scheme}ann:${password}@${place}`),
          (error: unknown) => isStrataError(error, 'invalidArgument') && !/cret/.test(error.message + error.hint),
          `${scheme} ${password} ${place}`,
        )
      }
    }
  }
})

test('shortNameIn() takes no port and no transport for a tag', () => {
  assert.deepEqual(['app:1', `team/app@${DIGEST}`, 'docker://localhost/x:1', 'app:5000/x', 'host.test/x'].map(shortNameIn), [
    'app',
    'team/app',
    undefined,
    undefined,
    undefined,
  ])
})
