import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { parseContentRange, parseRange } from './byteRange.ts'

test('parseRange() reads the three forms of RFC 9110', () => {
  assert.deepEqual(parseRange('bytes=0-0', 10), { start: 0, end: 0 })
  assert.deepEqual(parseRange('bytes=2-5', 10), { start: 2, end: 5 })
  assert.deepEqual(parseRange('bytes=2-', 10), { start: 2, end: 9 })
  assert.deepEqual(parseRange('bytes=2-99', 10), { start: 2, end: 9 })
  assert.deepEqual(parseRange('bytes=-3', 10), { start: 7, end: 9 })
  assert.deepEqual(parseRange('bytes=-30', 10), { start: 0, end: 9 })
})

test('parseRange() says what lies outside', () => {
  for (const header of ['bytes=10-', 'bytes=10-12', 'bytes=-0', `bytes=${'9'.repeat(60)}-`])
    assert.equal(parseRange(header, 10), 'unsatisfiable', header)
  assert.equal(parseRange('bytes=0-0', 0), 'unsatisfiable')
})

test('parseRange() ignores what is no single range of bytes', () => {
  for (const header of [undefined, '', 'bytes=-', 'bytes=5-2', 'bytes=0-1,3-4', 'lines=1-2', 'bytes=a-b', 'bytes=--1', 'bytes=1--2', '0-1'])
    assert.equal(parseRange(header, 10), undefined, header)
})

test('parseRange() gives only what is there', () => {
  fc.assert(
    fc.property(fc.string(), fc.nat(), fc.nat(), fc.nat({ max: 1000 }), (junk, first, last, size) => {
      for (const header of [junk, `bytes=${junk}`, `bytes=${first}-${last}`, `bytes=${first}-`, `bytes=-${last}`]) {
        const range = parseRange(header, size)
        if (typeof range === 'object') assert.ok(0 <= range.start && range.start <= range.end && range.end < size, header)
      }
    }),
  )
})

test('parseContentRange() reads chunks, and refuses overflow, signs and disorder', () => {
  assert.equal(parseContentRange(undefined), undefined)
  assert.deepEqual(parseContentRange('0-9'), { start: 0, end: 9 })
  assert.deepEqual(parseContentRange('bytes 5-5/10'), { start: 5, end: 5 })
  for (const header of [
    '',
    '9-0',
    '-1-5',
    '0--5',
    '1e3-2e3',
    '0-99999999999999999999',
    '9007199254740993-9007199254740994',
    '0-9 ',
    'bytes=0-9',
    '٠-٩',
  ])
    assert.equal(parseContentRange(header), 'invalid', header)
})
