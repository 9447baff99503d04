import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { footerOf } from '../../test/support/seekableLayers.ts'
import { isStrataError } from '../base/index.ts'
import { ESTARGZ_FOOTER_BYTES, parseEstargzFooter, parseToc, placeOfToc, TOC_BYTES } from './index.ts'

const DIGEST = `sha256:${'0'.repeat(64)}`
const digestOf = (text: string): string => `sha256:${createHash('sha256').update(text).digest('hex')}`
const toc = (entries: unknown, more: object = {}): Buffer => Buffer.from(JSON.stringify({ version: 1, entries, ...more }))
const parse = (entries: unknown, dataEnd = 1000): ReturnType<typeof parseToc> => parseToc(toc(entries), { dataEnd })
const INVALID = { kind: 'invalidArgument', code: 'STRATA_TOC_INVALID' }

test('parseEstargzFooter() reads the offset of the table, and nothing else for a footer', () => {
  fc.assert(
    fc.property(fc.maxSafeNat(), offset => {
      const footer = footerOf(offset)
      assert.equal(footer.length, ESTARGZ_FOOTER_BYTES)
      assert.equal(parseEstargzFooter(footer), offset)
    }),
  )
  const footer = footerOf(77)
  for (const at of [0, 1, 3, 10, 12, 13, 14, 32, 37]) {
    const damaged = Buffer.from(footer)
    damaged[at]! ^= 0x80
    assert.throws(() => parseEstargzFooter(damaged), INVALID, `byte ${at}`)
  }
  assert.throws(() => parseEstargzFooter(footer.subarray(1)), INVALID)
  assert.throws(() => parseEstargzFooter(Buffer.from(footer.toString('latin1').replace('0000000', 'fffffff'), 'latin1')), INVALID)
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 0, maxLength: 60 }), bytes => {
      assert.throws(() => parseEstargzFooter(bytes), INVALID)
    }),
  )
})

test('placeOfToc() believes only annotations that have a digest', () => {
  const position = '100:20:300:1'
  const chunked = (prefix: string, more: object = {}): Record<string, string> => ({
    [`${prefix}.manifest-position`]: position,
    [`${prefix}.manifest-checksum`]: DIGEST,
    ...more,
  })
  const zstd = { compression: 'zstd', blobBytes: 200 } as const
  const expected = { format: 'zstd:chunked', digest: DIGEST, start: 100, end: 120 }
  for (const prefix of ['io.github.containers.zstd-chunked', 'io.containers.zstd-chunked'])
    assert.deepEqual(placeOfToc(chunked(prefix), zstd), expected)
  const prefix = 'io.github.containers.zstd-chunked'
  assert.equal(placeOfToc({ [`${prefix}.manifest-position`]: position }, zstd), undefined)
  assert.equal(placeOfToc(chunked(prefix, { [`${prefix}.manifest-checksum`]: 'sha256:../../x' }), zstd), undefined)
  for (const wrong of [
    '100:20:300:2',
    '100:200:300:1',
    '100:0:300:1',
    '-1:20:300:1',
    '1e2:20:300:1',
    `100:20:${TOC_BYTES + 1}:1`,
    '100:20:300',
    '',
  ])
    assert.equal(placeOfToc(chunked(prefix, { [`${prefix}.manifest-position`]: wrong }), zstd), undefined, wrong)
  assert.equal(placeOfToc(chunked(prefix), { compression: 'gzip', blobBytes: 200 }), undefined)

  const stargz = { 'containerd.io/snapshot/stargz/toc.digest': DIGEST }
  assert.deepEqual(placeOfToc(stargz, { compression: 'gzip', blobBytes: 200 }), { format: 'estargz', digest: DIGEST })
  assert.equal(placeOfToc(stargz, { compression: 'none', blobBytes: 200 }), undefined)
  assert.equal(placeOfToc({}, { compression: 'gzip', blobBytes: 200 }), undefined)
})

test('parseToc() reads entries with all that they have', () => {
  const [directory, file, link, device] = parse([
    { type: 'dir', name: './d/', mode: 0o41755, uid: 1, gid: 2, modtime: '2020-01-02T03:04:05.000000007Z', NumLink: 3 },
    { type: 'reg', name: 'd/f', mode: 0o4755, size: 3, offset: 10, digest: digestOf('abc'), xattrs: { 'user.a': 'AQI=' } },
    { type: 'symlink', name: 'l', linkName: '../x', mode: 0o777, modtime: '0001-01-01T00:00:00Z' },
    { type: 'char', name: 'c', devMajor: 1, devMinor: 3 },
  ])
  assert.deepEqual(
    { ...directory, xattrs: [...directory!.xattrs] },
    {
      kind: 'directory',
      name: './d/',
      linkName: '',
      mode: 0o1755,
      uid: 1,
      gid: 2,
      modifiedAt: { seconds: 1_577_934_245, nanoseconds: 7 },
      xattrs: [],
      size: 0,
      chunks: [],
    },
  )
  assert.deepEqual(file?.chunks, [{ size: 3, stored: { digest: digestOf('abc'), start: 10, end: 1000, skip: 0 } }])
  assert.deepEqual([...(file?.xattrs ?? [])], [['user.a', Buffer.from([1, 2])]])
  assert.deepEqual([file?.mode, link?.linkName, link?.modifiedAt.seconds, device?.device], [0o4755, '../x', 0, { major: 1, minor: 3 }])
})

test('parseToc() puts the chunks of a file together, which end where the next one begins', () => {
  const [file, next] = parse([
    { type: 'reg', name: 'f', size: 10, offset: 5, chunkSize: 4, chunkDigest: digestOf('1') },
    { type: 'chunk', name: 'f', chunkOffset: 4, chunkSize: 3, chunkType: 'zeros' },
    { type: 'chunk', name: 'f', offset: 50, chunkOffset: 7, chunkDigest: digestOf('3') },
    { type: 'reg', name: 'g', size: 1, offset: 80, endOffset: 99, digest: digestOf('4'), innerOffset: 7 },
  ])
  assert.deepEqual(file?.chunks, [
    { size: 4, stored: { digest: digestOf('1'), start: 5, end: 50, skip: 0 } },
    { size: 3 },
    { size: 3, stored: { digest: digestOf('3'), start: 50, end: 80, skip: 0 } },
  ])
  assert.deepEqual(next?.chunks, [{ size: 1, stored: { digest: digestOf('4'), start: 80, end: 99, skip: 7 } }])
})

test('parseToc() refuses content that cannot be verified, and places where there is none', () => {
  const file = { type: 'reg', name: 'f', size: 10, offset: 5, digest: DIGEST }
  const chunk = { type: 'chunk', name: 'f', offset: 50, chunkOffset: 5, chunkSize: 5, chunkDigest: DIGEST }
  assert.equal(parse([file]).length, 1)
  for (const wrong of [
    [{ ...file, digest: undefined }],
    [{ ...file, digest: 'md5:0' }],
    [{ ...file, offset: 1000 }],
    [{ ...file, endOffset: 1001 }],
    [{ ...file, endOffset: 5 }],
    [{ ...file, offset: -1 }],
    [{ ...file, offset: 1.5 }],
    [{ ...file, offset: '5' }],
    [{ ...file, size: -10 }],
    [{ ...file, size: 2 ** 60 }],
    [{ ...file, chunkSize: 11 }],
    [{ ...file, chunkType: 'holes' }],
    // Too much to hold until it is verified.
    [{ ...file, size: 100 * 1024 * 1024 }],
    [{ ...file, innerOffset: 2 ** 40 }],
    // Chunks that leave a gap, overlap, are too few, or are somebody else's.
    [{ ...file, chunkSize: 4, chunkDigest: DIGEST }, chunk],
    [{ ...file, chunkSize: 6, chunkDigest: DIGEST }, chunk],
    [
      { ...file, chunkSize: 5, chunkDigest: DIGEST },
      { ...chunk, chunkSize: 4 },
    ],
    [
      { ...file, chunkSize: 5, chunkDigest: DIGEST },
      { ...chunk, chunkOffset: 4 },
    ],
    [{ ...file, chunkSize: 5 }, chunk],
    [file, { ...chunk, name: 'g' }],
    [chunk],
    // Names that JSON could not have, and no name.
    [{ type: 'dir', name: 'b\ufffdd' }],
    [{ type: 'symlink', name: 'l', linkName: '\ufffd' }],
    [{ type: 'dir' }],
    [{ type: 'socket', name: 's' }],
    [{ type: 'toString', name: 's' }],
    [{ type: 'dir', name: 'd', modtime: 'yesterday' }],
    [{ type: 'dir', name: 'd', modtime: '2020-13-45T00:00:00Z' }],
    [{ type: 'dir', name: 'd', xattrs: { a: '*' } }],
    [{ type: 'dir', name: 'd', xattrs: [] }],
    [{ type: 'dir', name: 'd', mode: -1 }],
    ['entry'],
    [null],
    {},
  ])
    assert.throws(() => parse(wrong), INVALID, JSON.stringify(wrong))
  assert.throws(() => parseToc(toc([], { version: 2 }), { dataEnd: 1 }), INVALID)
  for (const text of ['', 'null', '[]', '{', '\ufeff'])
    assert.throws(() => parseToc(Buffer.from(text), { dataEnd: 1 }), INVALID, JSON.stringify(text))
  assert.throws(() => parseToc(Buffer.from('{"version":1,"entries":["\xff"]}', 'latin1'), { dataEnd: 1 }), INVALID)
})

test('parseToc() is not made to use much memory', () => {
  assert.throws(() => parseToc(Buffer.alloc(TOC_BYTES + 1, ' '), { dataEnd: 1 }), INVALID)
  for (const piece of ['{},', '[],', '['])
    assert.throws(() => parseToc(Buffer.from(`{"version":1,"entries":[${piece.repeat(2_000_000)}`), { dataEnd: 1 }), {
      ...INVALID,
      message: /objects/,
    })
})

test('parseToc() gives entries or its own error for any JSON', () => {
  const field = fc.oneof(fc.jsonValue(), fc.nat(20), fc.constantFrom(DIGEST, 'f', 'zeros', ''))
  const keys = [
    'name',
    'size',
    'offset',
    'endOffset',
    'innerOffset',
    'chunkOffset',
    'chunkSize',
    'chunkDigest',
    'chunkType',
    'digest',
    'mode',
    'xattrs',
  ]
  const entry = fc.record(
    { type: fc.constantFrom('reg', 'chunk', 'dir', 'symlink', 'hardlink', 'char'), ...Object.fromEntries(keys.map(key => [key, field])) },
    { requiredKeys: ['type'] },
  )
  let read = 0
  fc.assert(
    fc.property(
      fc.oneof(fc.jsonValue(), fc.array(entry, { maxLength: 4 }), fc.array(fc.record({ type: fc.constant('dir'), name: fc.string() }))),
      value => {
        try {
          for (const { size, chunks } of parse(value)) {
            assert.equal(
              chunks.reduce((sum, chunk) => sum + chunk.size, 0),
              size,
            )
            for (const { stored } of chunks) assert.ok(stored === undefined || (stored.start < stored.end && stored.end <= 1000))
          }
          read += 1
        } catch (error) {
          assert.ok(isStrataError(error, 'invalidArgument'), String(error))
        }
      },
    ),
    { numRuns: 1000 },
  )
  assert.ok(read > 20, `${read} tables were read`)
})
