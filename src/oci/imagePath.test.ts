import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { formatReference, parseImagePath, parseReference } from './index.ts'

const DIGEST = `sha256:${'ba7816bf'.repeat(8)}`

test('parseImagePath() finds the path behind a name, a port, a tag and a digest', () => {
  const cases: readonly (readonly [text: string, reference: string, path: string])[] = [
    ['debian:/etc/os-release', 'debian', '/etc/os-release'],
    ['debian:12:/etc/os-release', 'debian:12', '/etc/os-release'],
    ['localhost:5000/x:/a', 'localhost:5000/x', '/a'],
    ['[::1]:5000/x:1:/a', '[::1]:5000/x:1', '/a'],
    [`x@${DIGEST}:/a`, `x@${DIGEST}`, '/a'],
    [`${DIGEST}:/a`, DIGEST, '/a'],
    ['x:/', 'x', '/'],
    ['x:/a:/b:c', 'x', '/a:/b:c'],
    ['x://etc', 'x', '//etc'],
  ]
  for (const [text, reference, path] of cases) assert.deepEqual(parseImagePath(text), { reference, path }, text)
})

test('parseImagePath() rejects for what has no image or no path that begins with a slash', () => {
  for (const text of ['', 'debian', 'debian:12', 'debian:etc/x', ':/etc/x', '/etc/x', 'localhost:5000/x', '\u001b[31m'])
    assert.throws(() => parseImagePath(text), { code: 'STRATA_IMAGE_PATH_INVALID' }, text)
})

test('parseImagePath() gives back any reference and any path', () => {
  const name = fc.stringMatching(/^[a-z0-9]{1,8}(?:\/[a-z0-9]{1,8}){0,2}$/)
  const domain = fc.constantFrom('', 'localhost:5000/', 'registry.example.com/', '[::1]:80/', 'r:1/')
  const suffix = fc.constantFrom('', ':1', ':latest', `@${DIGEST}`, `:1@${DIGEST}`)
  const reference = fc.tuple(domain, name, suffix).map(parts => parts.join(''))
  fc.assert(
    fc.property(reference, fc.string(), (typed, rest) => {
      const parsed = parseImagePath(`${typed}:/${rest}`)
      assert.deepEqual(parsed, { reference: typed, path: `/${rest}` })
      assert.ok(formatReference(parseReference(parsed.reference)).length > 0)
    }),
  )
})
