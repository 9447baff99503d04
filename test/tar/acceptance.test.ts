import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { suite, test } from 'node:test'
import { isStrataError } from '../../src/base/index.ts'
import { base256, END, list, padded, pax, rawHeader, rawMember } from './rawTar.ts'

/*
 * Every row of docs/tar-acceptance.md is one case here, with the same title. What an accepted archive
 * is read as is an object that the listing must have; a refused one has the error's code.
 */
type Expected =
  | 'STRATA_TAR_MALFORMED'
  | 'STRATA_TAR_TRUNCATED'
  | 'STRATA_TAR_TYPE'
  | 'STRATA_TAR_LIMIT'
  | readonly Readonly<Record<string, unknown>>[]

const file = rawMember({ name: 'f' }, 'content')
const after = rawMember({ name: 'after' })
const afterRead = { path: 'after', type: 'file' }

/** `count` regions of a type-S header or extension block. */
const regions = (...pairs: readonly (readonly [offset: number, size: number])[]): Buffer =>
  Buffer.concat(pairs.map(pair => Buffer.from(pair.map(number => `${number.toString(8).padStart(11, '0')}\0`).join(''))))
const gnuSparse = (map: Buffer, realSize: number, size: number, more = false): Buffer =>
  rawHeader({ name: 's', type: 'S', magic: 'gnu', size, patch: [[386, map], [482, more ? '\x01' : '\0'], [483, `${realSize.toString(8).padStart(11, '0')}\0`]] }) // prettier-ignore

const CASES: Readonly<Record<string, readonly [archive: Buffer, expected: Expected]>> = {
  'v7 header': [Buffer.concat([rawMember({ magic: 'v7' }, 'x'), END]), [{ path: 'f', type: 'file', size: 1, userName: '' }]],
  'v7 directory, told by its slash': [
    Buffer.concat([rawMember({ magic: 'v7', name: 'd/', type: '\0' }), END]),
    [{ path: 'd/', type: 'directory' }],
  ],
  'ustar file whose name ends with a slash': [Buffer.concat([rawMember({ name: 'd/' }), END]), [{ path: 'd/', type: 'file' }]],
  'ustar prefix': [Buffer.concat([rawMember({ name: 'f', prefix: 'a/b' }), END]), [{ path: 'a/b/f' }]],
  'star header': [
    Buffer.concat([rawMember({ name: 'f', prefix: 'a', patch: [[476, '00000000001\0'], [488, '00000000002\0'], [508, 'tar\0']] }), END]), // prettier-ignore
    [{ path: 'a/f', accessedAt: { seconds: 1, nanoseconds: 0 }, changedAt: { seconds: 2, nanoseconds: 0 } }],
  ],
  'GNU header with access and change time': [
    Buffer.concat([rawMember({ magic: 'gnu', patch: [[345, '00000000001\0'], [357, '00000000002\0']] }), END]), // prettier-ignore
    [{ path: 'f', accessedAt: { seconds: 1, nanoseconds: 0 }, changedAt: { seconds: 2, nanoseconds: 0 } }],
  ],
  'GNU header with a ustar prefix, from Go before 1.8 (hostile #16)': [
    Buffer.concat([rawMember({ magic: 'gnu', name: 'f', uid: base256(2n ** 21n, 8), prefix: 'a/long/prefix' }), END]),
    [{ path: 'a/long/prefix/f', uid: 2 ** 21, accessedAt: undefined }],
  ],
  'GNU long name and long link': [
    Buffer.concat([
      rawMember({ name: '././@LongLink', type: 'L', magic: 'gnu' }, `${'n'.repeat(300)}\0`),
      rawMember({ name: '././@LongLink', type: 'K', magic: 'gnu' }, `${'l'.repeat(300)}\0`),
      rawMember({ type: '2', magic: 'gnu' }),
      END,
    ]),
    [{ path: 'n'.repeat(300), linkPath: 'l'.repeat(300), type: 'symlink' }],
  ],
  'GNU long name and PAX path: the long name counts': [
    Buffer.concat([pax([['path', 'p']]), rawMember({ type: 'L', magic: 'gnu' }, 'n\0'), after, END]),
    [{ path: 'n' }],
  ],
  'PAX header': [
    Buffer.concat([
      pax([['path', 'p\n'], ['uid', '3000000'], ['gid', '-2'], ['uname', 'ü'], ['mtime', '-1.5'], ['atime', '1.000000001'], ['comment', 'c'], ['SCHILY.xattr.user.a%3Db', Buffer.from([0, 10, 255])]]), // prettier-ignore
      after,
      END,
    ]),
    [
      {
        path: 'p\n',
        uid: 3_000_000,
        gid: -2,
        userName: 'ü',
        modifiedAt: { seconds: -2, nanoseconds: 500_000_000 },
        accessedAt: { seconds: 1, nanoseconds: 1 },
        xattrs: new Map([['user.a=b', Buffer.from([0, 10, 255])]]),
      },
    ],
  ],
  'PAX name of bytes (hdrcharset=BINARY)': [
    Buffer.concat([pax([['hdrcharset', 'BINARY'], ['path', Buffer.from([0x61, 0xff])]]), after, END]), // prettier-ignore
    [{ path: 'a\udcff' }],
  ],
  'LIBARCHIVE.xattr in base64': [
    Buffer.concat([pax([['LIBARCHIVE.xattr.user.%41', Buffer.from([1, 0, 2]).toString('base64')]]), after, END]),
    [{ xattrs: new Map([['user.A', Buffer.from([1, 0, 2])]]) }],
  ],
  'PAX record with an empty value': [Buffer.concat([pax([['path', 'p'], ['path', '']]), after, END]), [afterRead]], // prettier-ignore
  'two PAX headers in a row: the last one counts': [
    Buffer.concat([pax([['path', 'p'], ['uid', '7']]), pax([['uid', '8']]), after, END]), // prettier-ignore
    [{ path: 'after', uid: 8 }],
  ],
  'PAX header and nothing behind it': [Buffer.concat([file, pax([['path', 'p']])]), [{ path: 'f' }]],
  'global PAX header: not applied': [Buffer.concat([pax([['path', 'p'], ['uid', '7']], 'g'), after, END]), [{ path: 'after', uid: 0 }]], // prettier-ignore
  'global PAX header between a PAX header and its member': [
    Buffer.concat([pax([['path', 'p']]), pax([['comment', 'c']], 'g'), after, END]),
    [afterRead],
  ],
  'PAX record with a wrong length': [Buffer.concat([rawMember({ type: 'x' }, '99 path=p\n'), after, END]), 'STRATA_TAR_MALFORMED'],
  'PAX record without a newline': [Buffer.concat([rawMember({ type: 'x' }, '10 path=pp'), after, END]), 'STRATA_TAR_MALFORMED'],
  'PAX record without a keyword': [Buffer.concat([rawMember({ type: 'x' }, '5 =p\n'), after, END]), 'STRATA_TAR_MALFORMED'],
  'PAX path with a NUL': [Buffer.concat([pax([['path', 'a\0b']]), after, END]), 'STRATA_TAR_MALFORMED'],
  'PAX uid that is not a number': [Buffer.concat([pax([['uid', 'root']]), after, END]), 'STRATA_TAR_MALFORMED'],
  'PAX mtime that is not a time': [Buffer.concat([pax([['mtime', '1.5s']]), after, END]), 'STRATA_TAR_MALFORMED'],
  'PAX size and ustar size differ: PAX counts (hostile #15)': [
    Buffer.concat([pax([['size', '1024']]), rawHeader({ size: 0 }), rawMember({ name: 'smuggled' }), Buffer.alloc(512, 1), after, END]),
    [{ path: 'f', size: 1024, storedSize: 1024 }, afterRead],
  ],
  'PAX size of a GNU long name: does not count': [
    Buffer.concat([pax([['size', '7']]), rawMember({ type: 'L' }, 'long\0'), file, END]),
    [{ path: 'long', size: 7 }],
  ],
  'negative size': [Buffer.concat([rawHeader({ size: base256(-1n, 12) }), END]), 'STRATA_TAR_MALFORMED'],
  'negative PAX size': [Buffer.concat([pax([['size', '-1']]), after, END]), 'STRATA_TAR_MALFORMED'],
  'size in base 256': [Buffer.concat([rawMember({ size: base256(7n, 12) }, 'content'), END]), [{ size: 7 }]],
  'base 256 beyond 64 bits': [Buffer.concat([rawMember({ uid: Buffer.alloc(8, 0xbf), gid: '0000000\0', mtime: Buffer.alloc(12, 0xbf) }), END]), 'STRATA_TAR_MALFORMED'], // prettier-ignore
  'number padded with spaces': [Buffer.concat([rawMember({ mode: '   644 \0', uid: '      1 ' }), END]), [{ mode: 0o644, uid: 1 }]],
  'number without its NUL': [Buffer.concat([rawMember({ uid: '00000010', gid: '7' }), END]), [{ uid: 8, gid: 7 }]],
  'number that is not octal': [Buffer.concat([rawMember({ uid: '0000009\0' }), END]), 'STRATA_TAR_MALFORMED'],
  'mtime before 1970 in base 256': [
    Buffer.concat([rawMember({ mtime: base256(-2n, 12) }), END]),
    [{ modifiedAt: { seconds: -2, nanoseconds: 0 } }],
  ],
  'mtime beyond the safe integers: saturates': [
    Buffer.concat([rawMember({ mtime: base256(2n ** 62n, 12) }), END]),
    [{ modifiedAt: { seconds: Number.MAX_SAFE_INTEGER, nanoseconds: 0 } }],
  ],
  'bad checksum': [Buffer.concat([file, rawMember({ checksum: '000000\0 ' }), END]), 'STRATA_TAR_MALFORMED'],
  'checksum over signed bytes': [
    Buffer.concat([rawMember({ name: Buffer.from('\u00e9'), checksum: signedChecksum() }), END]),
    [{ path: 'é' }],
  ],
  'symlink, directory, FIFO, devices': [
    Buffer.concat([
      rawMember({ type: '2', link: '/x' }),
      rawMember({ type: '5' }),
      rawMember({ type: '6' }),
      rawMember({ type: '3', patch: [[329, '0000001\x000000003\0']] }),
      rawMember({ type: '4', patch: [[329, '0000010\x000000000\0']] }),
      END,
    ]),
    [
      { type: 'symlink', linkPath: '/x' },
      { type: 'directory', linkPath: '' },
      { type: 'fifo', device: undefined },
      { type: 'character', device: { major: 1, minor: 3 } },
      { type: 'block', device: { major: 8, minor: 0 } },
    ],
  ],
  'contiguous file (type 7)': [Buffer.concat([rawMember({ type: '7' }, 'x'), END]), [{ type: 'file', size: 1 }]],
  'hard link with a size: has no payload': [
    Buffer.concat([rawHeader({ type: '1', link: 'f', size: 512 }), after, END]),
    [{ type: 'hardlink', linkPath: 'f', size: 0, storedSize: 0 }, afterRead],
  ],
  'directory with a size: has no payload': [
    Buffer.concat([rawHeader({ type: '5', size: 512 }), after, END]),
    [{ type: 'directory', size: 0 }, afterRead],
  ],
  'unknown type': [Buffer.concat([rawMember({ type: 'V' }), END]), 'STRATA_TAR_TYPE'],
  'GNU sparse, old form with extension blocks': [
    Buffer.concat([
      gnuSparse(regions([0, 3], [10, 2], [20, 1], [30, 1]), 1000, 9, true),
      padded(regions([40, 1], [50, 1], [1000, 0])),
      padded(Buffer.from('abcdefghi')),
      after,
      END,
    ]),
    [
      {
        size: 1000,
        storedSize: 9,
        sparse: [
          { offset: 0, size: 3 },
          { offset: 10, size: 2 },
          { offset: 20, size: 1 },
          { offset: 30, size: 1 },
          { offset: 40, size: 1 },
          { offset: 50, size: 1 },
        ],
      },
      afterRead,
    ],
  ],
  'GNU sparse, PAX 0.0': [
    Buffer.concat([
      pax([['GNU.sparse.size', '9'], ['GNU.sparse.numblocks', '2'], ['GNU.sparse.offset', '1'], ['GNU.sparse.numbytes', '2'], ['GNU.sparse.offset', '5'], ['GNU.sparse.numbytes', '1']]), // prettier-ignore
      rawMember({}, 'abc'),
      after,
      END,
    ]),
    [{ size: 9, storedSize: 3, sparse: [{ offset: 1, size: 2 }, { offset: 5, size: 1 }] }, afterRead], // prettier-ignore
  ],
  'GNU sparse, PAX 0.1': [
    Buffer.concat([
      pax([['GNU.sparse.size', '9'], ['GNU.sparse.numblocks', '1'], ['GNU.sparse.map', '1,3'], ['GNU.sparse.name', 'real']]), // prettier-ignore
      rawMember({}, 'abc'),
      after,
      END,
    ]),
    [{ path: 'real', size: 9, storedSize: 3, sparse: [{ offset: 1, size: 3 }] }, afterRead],
  ],
  'GNU sparse, PAX 1.0': [
    Buffer.concat([
      pax([['GNU.sparse.major', '1'], ['GNU.sparse.minor', '0'], ['GNU.sparse.name', 'real'], ['GNU.sparse.realsize', '9']]), // prettier-ignore
      rawMember({ name: 'fake' }, Buffer.concat([padded(Buffer.from('1\n6\n3\n')), Buffer.from('abc')])),
      after,
      END,
    ]),
    [{ path: 'real', size: 9, storedSize: 3, dataOffset: 2048, sparse: [{ offset: 6, size: 3 }] }, afterRead],
  ],
  'sparse map of an unknown version': [
    Buffer.concat([pax([['GNU.sparse.major', '2'], ['GNU.sparse.minor', '0']]), rawMember({}, 'abc'), END]), // prettier-ignore
    [{ size: 3, sparse: undefined }],
  ],
  'sparse regions that overlap': [Buffer.concat([gnuSparse(regions([0, 3], [2, 2]), 10, 5), END]), 'STRATA_TAR_MALFORMED'],
  'sparse region past the end of the file': [Buffer.concat([gnuSparse(regions([8, 3]), 10, 3), END]), 'STRATA_TAR_MALFORMED'],
  'sparse payload of another size than the map': [Buffer.concat([gnuSparse(regions([0, 3]), 10, 4), END]), 'STRATA_TAR_MALFORMED'],
  'sparse directory': [
    Buffer.concat([pax([['GNU.sparse.numblocks', '1'], ['GNU.sparse.map', '0,0']]), rawMember({ type: '5' }), END]), // prettier-ignore
    'STRATA_TAR_MALFORMED',
  ],
  'sparse file of 8 EiB (hostile #21)': [
    Buffer.concat([pax([['GNU.sparse.size', '9223372036854775807'], ['GNU.sparse.numblocks', '0'], ['GNU.sparse.map', '0,0']]), rawMember({}), END]), // prettier-ignore
    'STRATA_TAR_MALFORMED',
  ],
  'sparse file of 8 EiB with a right map (hostile #21)': [
    Buffer.concat([pax([['GNU.sparse.size', '9223372036854775807'], ['GNU.sparse.numblocks', '1'], ['GNU.sparse.map', '0,0']]), rawMember({}), END]), // prettier-ignore
    'STRATA_TAR_LIMIT',
  ],
  'PAX header above 1 MiB (hostile #18)': [Buffer.concat([rawHeader({ type: 'x', size: 1024 * 1024 + 1 })]), 'STRATA_TAR_LIMIT'],
  'name above 64 KiB': [Buffer.concat([rawMember({ type: 'L' }, 'n'.repeat(64 * 1024 + 1)), after, END]), 'STRATA_TAR_LIMIT'],
  'empty archive': [END, []],
  'no bytes at all': [Buffer.alloc(0), []],
  'no end marker': [file, [{ path: 'f' }]],
  'half an end marker': [Buffer.concat([file, Buffer.alloc(512)]), [{ path: 'f' }]],
  'zero block mid-stream': [Buffer.concat([file, Buffer.alloc(512), after, END]), 'STRATA_TAR_MALFORMED'],
  'concatenated archives: the first one is read': [Buffer.concat([file, END, after, END]), [{ path: 'f' }]],
  'trailing garbage': [Buffer.concat([file, END, Buffer.alloc(700, 0xaa)]), [{ path: 'f' }]],
  'last padding is missing': [file.subarray(0, 519), [{ path: 'f', size: 7 }]],
  'ends inside a header': [Buffer.concat([file, after.subarray(0, 100)]), 'STRATA_TAR_TRUNCATED'],
  'ends inside a payload': [file.subarray(0, 515), 'STRATA_TAR_TRUNCATED'],
  'ends inside a PAX header': [pax([['path', 'p']]).subarray(0, 515), 'STRATA_TAR_TRUNCATED'],
}

function signedChecksum(): string {
  const block = rawHeader({ name: Buffer.from('\u00e9') })
  block.fill(' ', 148, 156)
  return `${new Int8Array(block)
    .reduce((sum, byte) => sum + byte, 0)
    .toString(8)
    .padStart(6, '0')}\0 `
}

const WORDS = {
  STRATA_TAR_MALFORMED: 'rejected',
  STRATA_TAR_TRUNCATED: 'rejected',
  STRATA_TAR_TYPE: 'rejected',
  STRATA_TAR_LIMIT: 'rejected',
} as const

suite('hostile #17: TarParser accepts and rejects as docs/tar-acceptance.md says', () => {
  for (const [title, [archive, expected]] of Object.entries(CASES)) {
    test(title, () => {
      for (const chunkBytes of [archive.length || 1, 512, 1, 700]) {
        if (typeof expected === 'string') {
          assert.throws(
            () => list(archive, { chunkBytes }),
            error => isStrataError(error) && error.code === expected && /^Cannot read tar archive: .*[^.]$/.test(error.message),
          )
          continue
        }
        const { entries, bytes } = list(archive, { chunkBytes })
        const seen = entries.map((entry, at) =>
          Object.fromEntries(Object.keys(expected[at] ?? {}).map(key => [key, entry[key as keyof typeof entry]])),
        )
        assert.deepEqual(seen, expected)
        assert.ok(bytes.equals(archive), 'raw and data are the whole archive')
      }
    })
  }

  test('the table has exactly these rows', () => {
    const table = readFileSync(new URL('../../docs/tar-acceptance.md', import.meta.url), 'utf8')
    const rows = [...table.matchAll(/^\| (.+?) \| (accepted|rejected) \|/gm)].map(([, title, verdict]) => `${title}: ${verdict}`)
    const cases = Object.entries(CASES).map(
      ([title, [, expected]]) => `${title}: ${typeof expected === 'string' ? WORDS[expected] : 'accepted'}`,
    )
    assert.deepEqual(rows.sort(), cases.sort())
  })
})
