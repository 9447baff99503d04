import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { binarySize, humanSize, parseBytes } from './sizes.ts'

test('humanSize() prints sizes as docker does', () => {
  const sizes: readonly (readonly [number, string])[] = [
    [0, '0B'],
    [1, '1B'],
    [999, '999B'],
    [1000, '1kB'],
    [7_833_000, '7.83MB'],
    [7_800_000, '7.8MB'],
    [77_800_000, '77.8MB'],
    [117_000_000, '117MB'],
    [1_630_000_000, '1.63GB'],
    [999_400, '999kB'],
    [999_600, '1MB'],
    [2_048, '2.05kB'],
    [5e15, '5PB'],
  ]
  for (const [bytes, text] of sizes) assert.equal(humanSize(bytes), text)
  assert.equal(humanSize(16_430_000, 4), '16.43MB')
  assert.equal(humanSize(1_048_576, 4), '1.049MB')
})

test('humanSize() is never off by more than its digits allow', () => {
  const units = ['B', 'kB', 'MB', 'GB', 'TB', 'PB']
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 10 ** 15 }), bytes => {
      const [, number = '', unit = ''] = /^([\d.]+)(\w+)$/.exec(humanSize(bytes)) ?? []
      const shown = Number(number) * 1000 ** units.indexOf(unit)
      assert.ok(Math.abs(shown - bytes) <= bytes * 0.005 + 1e-6, `${bytes} as ${number}${unit}`)
    }),
  )
})

test('binarySize() counts in powers of 1024', () => {
  assert.equal(binarySize(16_660_000_000), '15.52GiB')
  assert.equal(binarySize(64 * 1024 * 1024), '64MiB')
})

test('parseBytes() reads what --memory takes', () => {
  const sizes: readonly (readonly [string, number])[] = [
    ['0', 0],
    ['4096', 4096],
    ['512b', 512],
    ['1k', 1024],
    ['1K', 1024],
    ['512m', 512 * 1024 ** 2],
    ['512mb', 512 * 1024 ** 2],
    ['512MiB', 512 * 1024 ** 2],
    ['1.5g', 1.5 * 1024 ** 3],
    ['2t', 2 * 1024 ** 4],
    ['-1', -1],
  ]
  for (const [text, bytes] of sizes) assert.equal(parseBytes(text), bytes, text)
  for (const text of ['', 'abc', '1x', '-2', 'm', '1.m', '1 2', '0x10'])
    assert.throws(() => parseBytes(text), { message: `invalid size: '${text}'` })
})
