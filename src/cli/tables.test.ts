import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { ellipsis, layoutTable, shortId } from './tables.ts'

test('layoutTable() lays columns out as docker does: three spaces, at least ten wide, the last one free', () => {
  assert.equal(
    layoutTable(['REPOSITORY\tTAG\tIMAGE ID\tCREATED\tSIZE', 'debian\t12\t0123456789ab\t2 weeks ago\t117MB']),
    ['REPOSITORY   TAG       IMAGE ID       CREATED       SIZE', 'debian       12        0123456789ab   2 weeks ago   117MB', ''].join(
      '\n',
    ),
  )
})

test('layoutTable() keeps empty cells, and pads `top` to twenty', () => {
  assert.equal(layoutTable(['A\tB\tC', '\t\tx']), 'A         B         C\n                    x\n')
  assert.equal(layoutTable(['UID\tPID'], { minimum: 20 }), 'UID                 PID\n')
})

test('layoutTable() measures a column anew below a line that lacks it', () => {
  assert.equal(layoutTable(['a very long cell\tx', 'line', 'b\ty']), 'a very long cell   x\nline\nb         y\n')
})

test('layoutTable() counts characters, not UTF-16 units', () => {
  assert.equal(layoutTable(['😀😀\tx', 'abc\ty'], { minimum: 0 }), '😀😀    x\nabc   y\n')
})

test('layoutTable() starts every cell of a column at one place', () => {
  const cell = fc.string({ unit: fc.constantFrom('a', 'b', 'é', '…'), maxLength: 15 })
  fc.assert(
    fc.property(fc.array(fc.tuple(cell, cell, cell), { minLength: 1 }), rows => {
      const lines = layoutTable(rows.map(row => row.map((text, at) => `${at}${text}`).join('\t')))
        .split('\n')
        .slice(0, -1)
      for (const at of ['1', '2']) assert.equal(new Set(lines.map(line => line.indexOf(at))).size, 1)
    }),
  )
})

test('ellipsis() replaces the last of too many characters', () => {
  assert.equal(ellipsis('abcdef', 6), 'abcdef')
  assert.equal(ellipsis('abcdefg', 6), 'abcde…')
})

test('shortId() is twelve digits without the algorithm', () => {
  assert.equal(shortId(`sha256:${'0123456789abcdef'.repeat(4)}`), '0123456789ab')
})
