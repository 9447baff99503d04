import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import * as fc from 'fast-check'
import { decodeFileName, isStrataError } from '../base/index.ts'
import { encodeTarHeader, TAR_END, type TarEntry, type TarHeader, TarParser, tarPadding } from './index.ts'

const time = fc.record(
  {
    seconds: fc.oneof(fc.integer({ min: -(2 ** 30), max: 2 ** 30 }), fc.integer({ min: -3, max: 3 }), fc.maxSafeInteger()),
    nanoseconds: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 999_999_999 }), fc.constantFrom(1, 500_000_000, 999_999_999)),
  },
  { noNullPrototype: true },
)
/** Names as the kernel has them: any bytes but NUL, often long, often with newlines, `=` and high bytes. */
const nameBytes = fc.oneof(
  fc.uint8Array({ minLength: 1, maxLength: 40 }),
  fc.uint8Array({ minLength: 90, maxLength: 300 }),
  fc
    .array(fc.constantFrom(0x2f, 0x61, 0x0a, 0x3d, 0x25, 0xff, 0xc3, 0xa9), { minLength: 1, maxLength: 300 })
    .map(bytes => Uint8Array.from(bytes)),
  fc.array(fc.constantFrom('a', 'bb/', '/', 'ü', '\u{1f600}'), { minLength: 1, maxLength: 200 }).map(parts => Buffer.from(parts.join(''))),
)
const name = nameBytes.map(bytes => decodeFileName(bytes.map(byte => (byte === 0 ? 1 : byte))))
const id = fc.oneof(fc.nat(70_000), fc.integer({ min: 2_097_150, max: 2_097_153 }), fc.maxSafeInteger())

const header: fc.Arbitrary<TarHeader> = fc
  .record(
    {
      type: fc.constantFrom(
        'file' as const,
        'directory' as const,
        'symlink' as const,
        'hardlink' as const,
        'character' as const,
        'block' as const,
        'fifo' as const,
      ),
      path: name,
      linkPath: name,
      mode: fc.nat(0o7777),
      uid: id,
      gid: id,
      userName: fc.oneof(fc.constant(''), fc.constant('root'), name),
      groupName: fc.oneof(fc.constant(''), fc.constant('u'.repeat(32)), name),
      size: fc.nat(2000),
      modifiedAt: time,
      accessedAt: time,
      changedAt: time,
      xattrs: fc.uniqueArray(fc.tuple(name, fc.uint8Array({ maxLength: 300 })), { selector: ([key]) => key, maxLength: 3 }),
      major: fc.nat(2_097_151),
      minor: fc.nat(2_097_151),
    },
    {
      requiredKeys: [
        'type',
        'path',
        'linkPath',
        'mode',
        'uid',
        'gid',
        'userName',
        'groupName',
        'size',
        'modifiedAt',
        'xattrs',
        'major',
        'minor',
      ],
      noNullPrototype: true,
    },
  )
  .map(({ major, minor, ...fields }) => ({
    ...fields,
    linkPath: fields.type === 'symlink' || fields.type === 'hardlink' ? fields.linkPath : '',
    size: fields.type === 'file' ? fields.size : 0,
    xattrs: new Map(fields.xattrs.map(([key, value]) => [key, Buffer.from(value)])),
    ...(fields.type === 'character' || fields.type === 'block' ? { device: { major, minor } } : {}),
  }))

const plain: TarHeader = {
  type: 'file',
  path: 'f',
  linkPath: '',
  mode: 0o644,
  uid: 0,
  gid: 0,
  userName: '',
  groupName: '',
  size: 0,
  modifiedAt: { seconds: 0, nanoseconds: 0 },
  xattrs: new Map(),
}

function archiveOf(headers: readonly TarHeader[]): Buffer {
  return Buffer.concat([
    ...headers.flatMap(entry => [encodeTarHeader(entry), Buffer.alloc(entry.size, 0x5a), tarPadding(entry.size)]),
    TAR_END,
  ])
}

/** What the parser makes of an archive that comes in chunks of the given sizes, over and over. */
function parse(archive: Buffer, sizes: readonly number[] = [archive.length]): { entries: TarEntry[]; bytes: Buffer; calls: string[] } {
  const entries: TarEntry[] = []
  const bytes: Uint8Array[] = []
  const calls: string[] = []
  const call = (kind: string): void => void (calls.at(-1) === kind || calls.push(kind))
  const parser = new TarParser({
    entry: entry => void (call(`entry ${entry.path}`), entries.push(entry)),
    data: chunk => void (call('data'), bytes.push(chunk)),
    endOfEntry: () => call('end'),
    raw: chunk => void (call('raw'), bytes.push(chunk)),
  })
  for (let at = 0, turn = 0; at < archive.length; turn += 1) {
    const size = sizes[turn % sizes.length]!
    parser.write(archive.subarray(at, at + size))
    at += size
  }
  parser.end()
  return { entries, bytes: Buffer.concat(bytes), calls }
}

function withoutOffsets({ headerOffset: _h, dataOffset: _d, storedSize: _s, ...entry }: TarEntry): TarHeader {
  return entry
}

suite('encodeTarHeader()', () => {
  test('is read back by TarParser as it was, whatever is in it and however it is cut', () => {
    fc.assert(
      fc.property(
        fc.array(header, { maxLength: 4 }),
        fc.array(fc.integer({ min: 1, max: 1500 }), { minLength: 1, maxLength: 5 }),
        (headers, sizes) => {
          const archive = archiveOf(headers)
          const { entries, bytes, calls } = parse(archive, sizes)
          assert.deepEqual(entries.map(withoutOffsets), headers)
          assert.ok(bytes.equals(archive))
          assert.deepEqual(calls, parse(archive).calls)
          for (const entry of entries) {
            const payload = archive.subarray(entry.dataOffset, entry.dataOffset + entry.storedSize)
            assert.ok(payload.every(byte => byte === 0x5a))
          }
        },
      ),
      { numRuns: 1500 },
    )
  })

  test('writes the same bytes for the same entry, whatever the order of its xattrs', () => {
    fc.assert(
      fc.property(header, entry => {
        const reversed = { ...entry, xattrs: new Map([...entry.xattrs].toReversed()) }
        assert.ok(encodeTarHeader(entry).equals(encodeTarHeader(reversed)))
      }),
    )
  })

  test('keeps xattr names that look like their own escapes', () => {
    const xattrs = new Map(['user.a=b', 'user.a%3Db', 'user.%25', 'user.%', 'user.\n='].map(key => [key, Buffer.from(key)]))
    assert.deepEqual(parse(archiveOf([{ ...plain, xattrs }])).entries[0]?.xattrs, xattrs)
  })

  test('needs one block where ustar can say it', () => {
    const long = `${'d/'.repeat(77)}d/${'n'.repeat(100)}`
    for (const entry of [
      plain,
      { ...plain, path: 'n'.repeat(100) },
      { ...plain, path: long },
      { ...plain, uid: 2_097_151, size: 8 ** 11 - 1 },
    ]) {
      assert.equal(encodeTarHeader(entry).length, 512)
    }
    for (const entry of [
      { ...plain, path: 'n'.repeat(101) },
      { ...plain, path: `x${long}` },
      { ...plain, path: 'ü' },
      { ...plain, uid: 2_097_152 },
      { ...plain, size: 8 ** 11 },
      { ...plain, modifiedAt: { seconds: 0, nanoseconds: 1 } },
      { ...plain, modifiedAt: { seconds: -1, nanoseconds: 0 } },
    ]) {
      assert.equal(encodeTarHeader(entry).length, 3 * 512)
    }
  })

  test('says sizes of 8 GiB and more', () => {
    for (const size of [8 ** 11 - 1, 8 ** 11, 10 * 1024 ** 4]) {
      const entries: TarEntry[] = []
      new TarParser({ entry: entry => void entries.push(entry), data: () => {} }).write(encodeTarHeader({ ...plain, size }))
      assert.deepEqual(entries.map(withoutOffsets), [{ ...plain, size }])
      assert.equal(entries[0]!.storedSize, size)
    }
  })

  test('refuses what no header can say', () => {
    const wrong: readonly TarHeader[] = [
      { ...plain, path: 'a\0b' },
      { ...plain, size: -1 },
      { ...plain, size: 0.5 },
      { ...plain, mode: 0o10000 },
      { ...plain, modifiedAt: { seconds: Number.NaN, nanoseconds: 0 } },
      { ...plain, modifiedAt: { seconds: 0, nanoseconds: 1e9 } },
      { ...plain, type: 'block', device: { major: 8 ** 7, minor: 0 } },
      { ...plain, xattrs: new Map([['', Buffer.alloc(0)]]) },
    ]
    for (const entry of wrong)
      assert.throws(
        () => encodeTarHeader(entry),
        error => isStrataError(error, 'invalidArgument') && error.code === 'STRATA_TAR_CANNOT_ENCODE',
      )
  })
})
