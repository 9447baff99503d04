import assert from 'node:assert/strict'
import { globSync } from 'node:fs'
import { test } from 'node:test'
import { deflateRawSync } from 'node:zlib'
import { isalInflater } from './index.ts'

const installed = globSync('/usr/lib/{,*/}libisal.so.2').length > 0

// src/compression/compression.test.ts has what it decodes.
test(
  'isalInflater() is there where the library is, and several work side by side',
  { skip: !installed && 'libisal2 is not installed' },
  async () => {
    await Promise.all(
      ['one', 'two', 'three'].map(async text => {
        const inflater = isalInflater()
        assert.ok(inflater !== undefined)
        const output = Buffer.alloc(100_000)
        const { written, left, ended } = await inflater.inflate(deflateRawSync(text.repeat(20_000)), output)
        assert.deepEqual([ended, left.length, output.toString('latin1', 0, written)], [true, 0, text.repeat(20_000)])
      }),
    )
  },
)
