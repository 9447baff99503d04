import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { smallSha256 } from './smallSha256.ts'

test('smallSha256() is the SHA-256 of node:crypto', () => {
  for (const length of [...Array(300).keys(), 4095, 4096, 4097, 65_536]) {
    const bytes = randomBytes(length)
    assert.equal(smallSha256(bytes), createHash('sha256').update(bytes).digest('hex'), `${length} bytes`)
  }
  assert.equal(smallSha256(Buffer.alloc(200, 0xff)), createHash('sha256').update(Buffer.alloc(200, 0xff)).digest('hex'))
})
