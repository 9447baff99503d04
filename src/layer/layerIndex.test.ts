import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { decodeFileName } from '../base/index.ts'
import {
  applyHere,
  dir,
  fifo,
  file,
  hardlink,
  indexOf,
  type Member,
  opaque,
  symlink,
  tarOf,
  whiteout,
  device,
} from '../../test/layer/layerTars.ts'
import { encodeTarHeader, TAR_END } from '../tar/index.ts'
import { decodeLayerIndex } from './index.ts'
import { LayerApplier } from './layerApplier.ts'
import type { LayerEntry } from './entry.ts'

const names = fc.constantFrom('a', 'b', 'a.b', 'ab', 'Z', '\u00e9', '\u{1f600}', decodeFileName(Buffer.from([0xff])), '\uffee')
const paths = fc.array(names, { minLength: 1, maxLength: 3 }).map(parts => parts.join('/'))
const attributes = fc.record({
  mode: fc.integer({ min: 0, max: 0o7777 }),
  uid: fc.integer({ min: 0, max: 4294967294 }),
  gid: fc.integer({ min: 0, max: 4294967294 }),
  modifiedAt: fc.record(
    { seconds: fc.integer({ min: -(2 ** 40), max: 2 ** 40 }), nanoseconds: fc.integer({ min: 0, max: 999_999_999 }) },
    { noNullPrototype: true },
  ),
  xattrs: fc
    .dictionary(fc.constantFrom('user.a', 'security.b'), fc.uint8Array({ maxLength: 5 }))
    .map(record => new Map(Object.entries(record))),
})
const members: fc.Arbitrary<Member> = fc.oneof(
  fc.tuple(paths, fc.string(), attributes).map(([path, content, with_]) => file(path, content, with_)),
  fc.tuple(paths, attributes).map(([path, with_]) => dir(path, with_)),
  fc.tuple(paths, attributes).map(([path, with_]) => symlink(path, '../x', with_)),
  fc.tuple(paths, fc.nat(4095), fc.nat(0xfffff)).map(([path, major, minor]) => device(path, 'block', major, minor)),
  paths.map(whiteout),
)

/** What the entries mean when nothing but directories is in parent positions: a map by path, the last one wins. */
function naive(list: readonly Member[]): Map<string, Partial<Member> & { implied?: boolean }> | undefined {
  const tree = new Map<string, Partial<Member> & { implied?: boolean }>([['', { type: 'directory', implied: true }]])
  for (const member of list) {
    const parts = member.path.split('/')
    for (let depth = 1; depth < parts.length; depth += 1) {
      const parent = parts.slice(0, depth).join('/')
      const present = tree.get(parent)
      if (present === undefined) tree.set(parent, { type: 'directory', implied: true })
      else if (present.type !== 'directory') return undefined
    }
    if (parts.at(-1)!.startsWith('.wh.')) continue
    const present = tree.get(member.path)
    if (present !== undefined && (present.type !== 'directory' || member.type !== 'directory')) {
      for (const path of [...tree.keys()]) if (path === member.path || path.startsWith(`${member.path}/`)) tree.delete(path)
    }
    tree.set(member.path, member)
  }
  return tree
}

test('LayerIndex agrees with a naive model in get(), children() and entries()', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(members, { maxLength: 25 }), async list => {
      const model = naive(list)
      if (model === undefined) return
      const index = await indexOf(...list)
      const nodes = [...index.entries()].filter(entry => entry.type !== 'whiteout')
      assert.deepEqual(new Set(nodes.map(node => node.path)), new Set(model.keys()))
      assert.equal([...index.entries()].length, index.entryCount)
      for (const node of nodes) {
        const expected: Partial<Member> = model.get(node.path)!
        assert.equal(node.type, expected.type)
        if (expected.mode === undefined) continue
        const { mode, uid, gid, modifiedAt, xattrs } = expected
        assert.deepEqual({ mode, uid, gid, modifiedAt }, { mode: node.mode, uid: node.uid, gid: node.gid, modifiedAt: node.modifiedAt })
        assert.deepEqual(
          new Map([...node.xattrs].map(([name, value]) => [name, [...value]])),
          new Map([...xattrs!].map(([name, value]) => [name, [...value]])),
        )
        assert.deepEqual(node.device, expected.device)
        assert.equal(node.size, expected.size)
      }
      for (const entry of index.entries()) {
        assert.deepEqual(index.get(entry.path), entry)
        const below = [...index.entries()].filter(each => each.path !== '' && each.path.split('/').slice(0, -1).join('/') === entry.path)
        assert.deepEqual([...index.children(entry.path)], entry.type === 'directory' ? below : [])
      }
      for (const path of ['nope', 'a/nope', 'Z/Z/Z/Z', '/', 'a/']) if (!model.has(path)) assert.equal(index.get(path), undefined)
    }),
    { numRuns: 300 },
  )
})

test('LayerIndex lists a directory before what it holds and siblings by bytes', async () => {
  const index = await indexOf(
    file('a.b'),
    file('a/x'),
    file('\u{1f600}'),
    file('\uffee'),
    file('B'),
    file(decodeFileName(Buffer.from([0xff]))),
  )
  const listed = [...index.entries()].map(entry => entry.path)
  assert.deepEqual(listed, ['', 'B', 'a', 'a/x', 'a.b', '\uffee', '\u{1f600}', decodeFileName(Buffer.from([0xff]))])
})

/** hostile #32 to #35 without a disk: whatever the order, the meaning is the same. */
test('hostile #32, #33, #35: whiteouts and the entries that they stand beside have no order', async () => {
  const list = [
    dir('d'),
    file('d/kept', 'k'),
    opaque('d'),
    whiteout('d/useless'),
    whiteout('f'),
    file('f', 'wins'),
    whiteout('e'),
    dir('e', { mode: 0o711 }),
    file('e/x'),
    whiteout('gone'),
    file('i/x'),
    whiteout('i'),
  ]
  const shown = async (order: readonly Member[]): Promise<unknown> =>
    [...(await indexOf(...order)).entries()].map((entry: LayerEntry) =>
      entry.type === 'whiteout'
        ? `${entry.path} whiteout`
        : `${entry.path} ${entry.mode.toString(8)}${entry.opaque === true ? ' opaque' : ''}${entry.implied === true ? ' implied' : ''}`,
    )
  const expected = [
    '  755 implied'.slice(1),
    'd 755 opaque',
    'd/kept 644',
    'e 711 opaque',
    'e/x 644',
    'f 644',
    'gone whiteout',
    'i 755 opaque',
    'i/x 644',
  ]
  await fc.assert(
    fc.asyncProperty(fc.shuffledSubarray(list, { minLength: list.length }), async order => {
      assert.deepEqual(await shown(order), expected)
    }),
    { numRuns: 60 },
  )
})

test('LayerIndex shows hard links by the path of their first name, and those to files below by the path of that', async () => {
  const index = await indexOf(
    file('z', 'data'),
    hardlink('b', './z', { mode: 0o600 }),
    hardlink('c', '/b'),
    hardlink('x', 'below/it'),
    hardlink('y', 'x'),
    hardlink('early', 'late'),
    file('late', '!'),
  )
  const link = (path: string): unknown => {
    const entry = index.get(path)
    return entry === undefined || entry.type === 'whiteout' ? undefined : entry.linkOf
  }
  assert.deepEqual(['b', 'c', 'z', 'x', 'y', 'early', 'late'].map(link), [undefined, 'b', 'b', 'below/it', 'below/it', undefined, 'early'])
  const z = index.get('z')
  assert.ok(z !== undefined && z.type === 'file' && z.size === 4 && z.mode === 0o644)
  assert.equal(index.contentBytes, 5)
  assert.equal(index.dependsOnLower, true)
  assert.equal((await indexOf(dir('.'), dir('d'), opaque('d'), file('d/f'))).dependsOnLower, false)
})

test('hostile #37: a chain of a thousand hard links is one inode', async () => {
  const index = await indexOf(file('0', 'x'), ...Array.from({ length: 1000 }, (_, i) => hardlink(`${i + 1}`, `${i}`)))
  assert.equal(index.contentBytes, 1)
  const last = index.get('1000')
  assert.equal(last?.type === 'file' ? last.linkOf : undefined, '0')
  await assert.rejects(indexOf(hardlink('a', 'a')), { code: 'STRATA_HARD_LINK_TARGET' })
  await assert.rejects(indexOf(hardlink('a', 'b'), hardlink('b', 'a')), { code: 'STRATA_HARD_LINK_TARGET' })
  await assert.rejects(indexOf(dir('d'), hardlink('a', 'd')), { code: 'STRATA_HARD_LINK_TARGET' })
  await assert.rejects(indexOf(file('d/f'), hardlink('d', 'd/f')), { code: 'STRATA_HARD_LINK_TARGET' })
})

test('decodeLayerIndex() refuses damaged bytes and other versions', async () => {
  const applier = new LayerApplier({})
  applier.write(tarOf(file('a/b', 'c')))
  const index = Buffer.concat(applier.finish().index.parts)
  decodeLayerIndex(index)
  for (let at = 0; at < index.length; at += 7) {
    const broken = Buffer.from(index)
    broken[at]! ^= 0x40
    assert.throws(
      () => decodeLayerIndex(broken),
      (error: { code?: string }) => /STRATA_LAYER_INDEX_(DAMAGED|VERSION)/.test(error.code ?? ''),
    )
  }
  assert.throws(() => decodeLayerIndex(index.subarray(0, -1)), { code: 'STRATA_LAYER_INDEX_DAMAGED' })
})

test('hostile #35: a directory in the place of another thing of its layer hides the directory below, as that did', async () => {
  const opaqueOf = async (...members: readonly Member[]): Promise<unknown> => {
    const entry = (await indexOf(...members)).get('x')
    return entry?.type === 'directory' ? entry.opaque === true : entry?.type
  }
  for (const thing of [file('x'), symlink('x', 'y'), fifo('x'), whiteout('x')])
    assert.equal(await opaqueOf(thing, dir('x')), true, thing.type)
  assert.equal(await opaqueOf(dir('x')), false)
  assert.equal(await opaqueOf(dir('x', { mode: 0o700 }), dir('x')), false)
  assert.equal(await opaqueOf(dir('x'), file('x')), 'file')
})

test('hostile #1, #29: a layer of any bytes in its names is indexed inside the root or refused', async () => {
  const wild = fc
    .array(fc.constantFrom('..', '.', '', 'a', '.wh.', '.wh.a', '.wh..', '.wh...', '.wh..wh..opq', '.wh..wh.x', 's'), {
      minLength: 1,
      maxLength: 5,
    })
    .map(parts => parts.join('/'))
  const list = fc.array(
    fc.oneof(
      wild.map(path => file(path === '' ? 'x' : path)),
      fc.tuple(wild, wild).map(([path, to]) => symlink(path === '' ? 's' : path, to === '' ? '/' : to)),
      fc.tuple(wild, wild).map(([path, to]) => hardlink(path === '' ? 's' : path, to === '' ? '/' : to)),
    ),
    { maxLength: 12 },
  )
  await fc.assert(
    fc.asyncProperty(list, async order => {
      const applied = await applyHere(tarOf(...order), undefined).catch((error: { code?: string }) => {
        assert.match(error.code ?? '', /^STRATA_/)
      })
      if (applied === undefined) return
      for (const { path } of applied.index.entries()) {
        for (const name of path.split('/'))
          assert.ok(name !== '..' && name !== '.' && (path === '' || name !== '') && !name.startsWith('.wh.'), path)
      }
    }),
    { numRuns: 500 },
  )
})

test('a layer index of 131,000 entries finds each of them', async () => {
  const headers = Array.from({ length: 131_000 }, (_, i) =>
    encodeTarHeader(file(`usr/share/dir${Math.floor(i / 100)}/file-number-${i % 100}.txt`)),
  )
  const tar = Buffer.concat([...headers, TAR_END])
  const { index } = await applyHere(tar, undefined, { chunkBytes: 256 * 1024 })
  assert.equal(index.entryCount, 131_000 + 1310 + 3)
  for (let i = 0; i < 10_000; i += 1) assert.ok(index.get(`usr/share/dir${i % 1310}/file-number-${i % 100}.txt`) !== undefined)
})
