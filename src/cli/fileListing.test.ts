import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { decodeFileName } from '../base/index.ts'
import type { ListedFile } from '../engine/index.ts'
import { formatListing, visible } from './fileListing.ts'

const file = (name: string, more: Partial<ListedFile> = {}): ListedFile => ({
  name,
  type: 'file',
  mode: 0o644,
  uid: 0,
  gid: 0,
  size: 0,
  links: 1,
  modifiedAt: { seconds: 1_714_566_600, nanoseconds: 0 },
  ...more,
})

const PLAIN = { long: false, heading: false, isFirst: true, isTerminal: false }

test('formatListing() prints names, one per line, and with -R under their directory', () => {
  const listing = { directory: '/etc', files: [file('a'), file('b')] }
  assert.equal(formatListing(listing, PLAIN).toString(), 'a\nb\n')
  assert.equal(formatListing(listing, { ...PLAIN, heading: true }).toString(), '/etc:\na\nb\n')
  assert.equal(formatListing(listing, { ...PLAIN, heading: true, isFirst: false }).toString(), '\n/etc:\na\nb\n')
  assert.equal(formatListing({ directory: undefined, files: [file('/x')] }, { ...PLAIN, heading: true }).toString(), '/x\n')
  assert.equal(formatListing({ directory: '/', files: [] }, { ...PLAIN, long: true }).toString(), '')
})

test('formatListing() prints with -l what ls -ln prints', () => {
  const files = [
    file('big', { size: 12_345, uid: 1000, mode: 0o4755, links: 12 }),
    file('dev', { type: 'character', device: { major: 1, minor: 3 } }),
    file('dir', { type: 'directory', mode: 0o1777 }),
    file('link', { type: 'symlink', mode: 0o777, linkTarget: '../ü' }),
    file('odd', { mode: 0o7604, modifiedAt: { seconds: 9e15, nanoseconds: 0 } }),
    file('old', { type: 'fifo', modifiedAt: { seconds: -1, nanoseconds: 5 } }),
  ]
  assert.equal(
    formatListing({ directory: '/', files }, { ...PLAIN, long: true }).toString(),
    [
      '-rwsr-xr-x 12 1000 0 12345 2024-05-01 12:30 big',
      'crw-r--r--  1    0 0  1, 3 2024-05-01 12:30 dev',
      'drwxrwxrwt  1    0 0     0 2024-05-01 12:30 dir',
      'lrwxrwxrwx  1    0 0     5 2024-05-01 12:30 link -> ../ü',
      '-rwS--Sr-T  1    0 0     0 @9000000000000000 odd',
      'prw-r--r--  1    0 0     0 1969-12-31 23:59 old',
      '',
    ].join('\n'),
  )
})

test('formatListing() gives a terminal no escapes of an image, and a pipe the bytes as they are', () => {
  const name = decodeFileName(Buffer.from('a\x1b[31m\xff\n', 'latin1'))
  const listing = { directory: '/\x07', files: [file(name, { type: 'symlink', linkTarget: '\u202e\\' })] }
  const shown = formatListing(listing, { ...PLAIN, long: true, heading: true, isTerminal: true }).toString()
  assert.match(shown, /^\/\\007:\n.* a\\033\[31m\\377\\n -> \\342\\200\\256\\\\\n$/)
  assert.deepEqual(formatListing({ directory: '/', files: [file(name)] }, PLAIN), Buffer.from('a\x1b[31m\xff\n\n', 'latin1'))
})

test('visible() leaves nothing that is not printable, and two names are never shown alike', () => {
  const name = fc.uint8Array({ maxLength: 6 }).map(decodeFileName)
  fc.assert(
    fc.property(name, name, (a, b) => {
      assert.doesNotMatch(visible(a), /[\p{C}\p{Zl}\p{Zp}]/u)
      assert.equal(visible(a) === visible(b), a === b)
    }),
  )
  assert.equal(visible('Ünï códe ~/.x'), 'Ünï códe ~/.x')
})
