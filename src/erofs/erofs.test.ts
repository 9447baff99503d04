import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { isStrataError } from '../base/index.ts'
import { directory, file, flatten, trees } from '../../test/erofs/trees.ts'
import { type ErofsDirectory, type ErofsFile, openErofs, writeErofs } from './index.ts'

const DEVICES = [{ bytes: 2 ** 33, tag: 'layer' }, { bytes: 1000 }, { bytes: 2 ** 40 }]

test('openErofs() reads what writeErofs() wrote of any tree', () => {
  fc.assert(
    fc.property(trees, root => {
      const image = openErofs(writeErofs(root, DEVICES))
      const read = flatten(image)
      const expected = flatten(root)
      assert.deepEqual(read, expected)
      assert.equal(image.inodes, new Set([...expected.values()].map(({ inode }) => inode)).size)
    }),
    { numRuns: 300 },
  )
})

test('writeErofs() writes the same bytes for the same tree', () => {
  fc.assert(
    fc.property(trees, root => assert.deepEqual(writeErofs(root, DEVICES), writeErofs(root, DEVICES))),
    { numRuns: 30 },
  )
})

test('openErofs() finds each name of a large directory, and no other', () => {
  const names = Array.from({ length: 3000 }, (_, n) => `${n.toString(36)}${'-é'.repeat(n % 60)}`)
  const root = directory(new Map(names.map(name => [name, file(0)])))
  const image = openErofs(writeErofs(root, []))
  const top = image.inode(image.root)
  assert.deepEqual(
    image
      .entries(top)
      .map(({ name }) => name)
      .toSorted(),
    names.toSorted(),
  )
  for (const name of names) assert.equal(image.lookup(top, name)?.name, name)
  for (const name of ['.', '..', '', 'zzzz', '-', '0-', '\u{10ffff}']) assert.equal(image.lookup(top, name), undefined)
})

test('writeErofs() keeps the devices, and where on them the content of a file is beyond 4 GiB', () => {
  const content = [
    { offset: 2 ** 32, size: 4096, device: 2, position: 2 ** 39 },
    { offset: 2 ** 33, size: 100, device: 0, position: 2 ** 32 },
  ]
  const one: ErofsFile = { ...file(0), size: 2 ** 33 + 100, content }
  const image = openErofs(writeErofs(directory(new Map([['f', one]])), DEVICES))
  assert.deepEqual(
    image.devices.map(({ bytes, tag }) => [bytes, tag]),
    [
      [2 ** 33, 'layer'],
      [1024, undefined],
      [2 ** 40, undefined],
    ],
  )
  const found = image.inode(image.lookup(image.inode(image.root), 'f')!.nid)
  assert.equal(found.size, one.size)
  assert.deepEqual([...image.extents(found)], content)
})

const refused: Readonly<Record<string, ErofsDirectory>> = {
  'a name with a slash': directory(new Map([['a/b', file(0)]])),
  'an empty name': directory(new Map([['', file(0)]])),
  'a dot': directory(new Map([['.', file(0)]])),
  'a name of 256 bytes': directory(new Map([['é'.repeat(128), file(0)]])),
  'a piece that is not at a block': directory(
    new Map([['f', { ...file(0), size: 10, content: [{ offset: 0, size: 10, device: 0, position: 5 }] }]]),
  ),
  'a device that is not there': directory(
    new Map([['f', { ...file(0), size: 10, content: [{ offset: 0, size: 10, device: 7, position: 0 }] }]]),
  ),
  'a piece behind the end': directory(
    new Map([['f', { ...file(0), size: 10, content: [{ offset: 0, size: 11, device: 0, position: 0 }] }]]),
  ),
  'a symlink without a target': directory(new Map([['l', { ...file(0), type: 'symlink', target: '' }]])),
  'an xattr of no known namespace': directory(new Map([['f', { ...file(0), xattrs: new Map([['system.other', Buffer.of(1)]]) }]])),
}

for (const [what, root] of Object.entries(refused)) {
  test(`writeErofs() refuses ${what}`, () => {
    assert.throws(
      () => writeErofs(root, DEVICES),
      (error: unknown) => isStrataError(error, 'invalidArgument') || isStrataError(error, 'unsupported'),
    )
  })
}

test('writeErofs() refuses devices that have more blocks than an image can name', () => {
  assert.throws(() => writeErofs(directory(new Map()), [{ bytes: 2 ** 41 }]), { kind: 'unsupported' })
})

test('openErofs() survives hostile bytes: it reads them or says that they are damaged', () => {
  fc.assert(
    fc.property(
      trees,
      fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 20 }),
      fc.boolean(),
      (root, changes, keepsSuper) => {
        const bytes = writeErofs(root, DEVICES)
        const from = keepsSuper ? 1536 : 1024
        for (const [at, value] of changes) if (from < bytes.length) bytes[from + (at % (bytes.length - from))] = value
        // Without its checksum, the super block is believed.
        bytes[1032]! &= ~1
        try {
          flatten(openErofs(bytes), 2000)
        } catch (error) {
          assert.ok(isStrataError(error, 'dataLoss') || isStrataError(error, 'unsupported'), String(error))
        }
      },
    ),
    { numRuns: 1000 },
  )
  const whole = writeErofs(directory(new Map([['f', file(3)]])), [])
  for (let length = 0; length < whole.length; length += 7) {
    assert.throws(() => flatten(openErofs(whole.subarray(0, length))), { kind: 'dataLoss' })
  }
})
