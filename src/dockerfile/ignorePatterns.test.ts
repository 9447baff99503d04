import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { isStrataError } from '../base/index.ts'
import { IgnorePatterns } from './index.ts'

const CASES: readonly (readonly [text: string, ignored: readonly string[], kept: readonly string[]])[] = [
  ['a', ['a', 'a/b', 'a/b/c'], ['b/a', 'ab']],
  ['*/temp*', ['x/temporary', 'x/temp/a'], ['temp', 'x/y/temp']],
  ['*/*/temp*', ['x/y/temp', 'x/y/temp.d/e'], ['x/temp']],
  ['temp?', ['tempa', 'tempb/c'], ['temp', 'tempab', 'temp/']],
  ['**/*.go', ['a.go', 'x/b.go', 'x/y/c.go'], ['a.gox']],
  ['**', ['a', 'a/b'], []],
  ['a/**/z', ['a/z', 'a/b/z', 'a/b/c/z/d'], ['a/bz', 'z']],
  ['a/**', ['a/b', 'a/b/c'], ['a', 'b/a']],
  ['*.md\n!README.md', ['a.md', 'b.md/c'], ['README.md', 'x/a.md']],
  ['*.md\n!README*.md\nREADME-secret.md', ['README-secret.md', 'a.md'], ['README.md', 'README-x.md']],
  ['*\n!src\nsrc/x', ['a', 'src/x', 'src/x/y'], ['src', 'src/a']],
  ['/a/../b/./c/', ['b/c'], ['a']],
  ['# comment\n\n  \n #x', ['#x'], ['# comment', 'comment']],
  ['[a-c][^x]\\*', ['ay*', 'cz*/d'], ['ax*', 'dy*', 'ay1', 'a/*']],
  ['.', [], ['a']],
]

for (const [text, ignored, kept] of CASES) {
  test(`IgnorePatterns reads ${JSON.stringify(text)}`, () => {
    const patterns = IgnorePatterns.parse(text)
    for (const path of ignored) assert.equal(patterns.ignores(path), true, path)
    for (const path of kept) assert.equal(patterns.ignores(path), false, path)
  })
}

test('IgnorePatterns says what is wrong with a pattern, and throws nothing but StrataErrors', () => {
  for (const bad of ['!', 'a[', '[]', '[a-]', 'a\\']) assert.throws(() => new IgnorePatterns([bad]), { code: 'STRATA_IGNORE_PATTERN' }, bad)
  const char = fc.constantFrom('a', '*', '?', '[', ']', '^', '-', '\\', '/', '.', '!', '#', ' ')
  fc.assert(
    fc.property(fc.string({ unit: char, maxLength: 12 }), fc.string({ unit: fc.constantFrom('a', 'b', '/', '.') }), (pattern, path) => {
      try {
        new IgnorePatterns([pattern]).ignores(path)
      } catch (error) {
        assert.ok(isStrataError(error, 'invalidArgument'), String(error))
      }
    }),
  )
})

test('IgnorePatterns matches what the regular expression of a pattern matches, of a path or of a folder above it', () => {
  const part = fc.constantFrom('a', 'b', '/', '*', '**', '**/', '?')
  const pattern = fc.array(part, { minLength: 1, maxLength: 7 }).map(parts => parts.join(''))
  const path = fc.array(fc.constantFrom('a', 'b', 'ab'), { minLength: 1, maxLength: 4 }).map(names => names.join('/'))
  fc.assert(
    fc.property(pattern, path, (text, name) => {
      const names = text.split('/').filter(each => each !== '')
      fc.pre(names.length > 0)
      const source = names
        .join('/')
        .replace(/\*\*+\/|\*\*+|\*|\?/g, wild => (wild === '?' ? '[^/]' : wild === '*' ? '[^/]*' : wild.endsWith('/') ? '(.*/)?' : '.*'))
      const expression = new RegExp(`^(?:${source})$`)
      const above = name.split('/').map((_, index, all) => all.slice(0, index + 1).join('/'))
      assert.equal(
        new IgnorePatterns([text]).ignores(name),
        above.some(each => expression.test(each)),
        source,
      )
    }),
    { numRuns: 5000 },
  )
})
