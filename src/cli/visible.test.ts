import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { visibleLine, visibleText } from './visible.ts'

test('visibleLine() escapes what steers a terminal, and leaves the rest', () => {
  assert.equal(visibleLine('a\u001b[31mb\u0007\n\tc\u007f\u009b1m'), String.raw`a\u001b[31mb\u0007\u000a\u0009c\u007f\u009b1m`)
  assert.equal(visibleLine('exe.\u202egnp \u2066x\u2069 \u200f\u2028'), String.raw`exe.\u202egnp \u2066x\u2069 \u200f\u2028`)
  assert.equal(visibleLine('größe 大 👩‍👩‍👧 C:\\x'), 'größe 大 👩‍👩‍👧 C:\\x')
})

test('visibleText() leaves lines and tabs as they are', () => {
  assert.equal(visibleText('a\tb\n\rc'), 'a\tb\n\\u000dc')
})

test('nothing that steers is left of any text', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), text => {
      assert.doesNotMatch(visibleLine(text), /[\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/)
      assert.doesNotMatch(visibleText(text), /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/)
      assert.equal(visibleLine(visibleLine(text)), visibleLine(text))
    }),
  )
})
