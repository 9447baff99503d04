import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { bytesOf } from '../../test/layer/layerTars.ts'
import { streamOf } from '../base/index.ts'
import { type FileSource, MemoryTree } from './index.ts'

const KIB = 1024

/** Bytes that say where they are. */
function pattern(size: number): Buffer {
  return Buffer.from(Array.from({ length: size }, (_, at) => 1 + (at % 251)))
}

function sourceOf(bytes: Buffer): FileSource {
  return { size: bytes.length, open: ({ start = 0, end = bytes.length }) => streamOf(bytes.subarray(start, end)) }
}

const place = fc.oneof(fc.nat(300 * KIB), fc.constantFrom(0, 64 * KIB - 1, 64 * KIB, 128 * KIB, 200 * KIB))
const change = fc.oneof(
  fc.record({ at: place, bytes: fc.oneof(fc.nat(100), fc.constantFrom(64 * KIB, 130 * KIB)).map(size => Buffer.alloc(size, 0xff)) }),
  fc.record({ size: place }),
)

test('MemoryTree keeps content as a plain buffer would, over what it was copied from', async () => {
  await fc.assert(
    fc.asyncProperty(place, fc.array(change, { maxLength: 8 }), place, place, async (sourceSize, changes, from, to) => {
      const tree = new MemoryTree()
      let model = pattern(sourceSize)
      await tree.create('f', { type: 'file', mode: 0o644, content: sourceOf(model) })
      for (const each of changes) {
        if ('size' in each) {
          await tree.truncate('f', each.size)
          model = Buffer.concat([model.subarray(0, each.size), Buffer.alloc(Math.max(0, each.size - model.length))])
        } else {
          await tree.write('f', each.at, each.bytes)
          if (each.bytes.length === 0) continue
          const grown = Buffer.concat([model, Buffer.alloc(Math.max(0, each.at + each.bytes.length - model.length))])
          each.bytes.copy(grown, each.at)
          model = grown
        }
      }
      assert.equal((await tree.lstat('f'))?.size, model.length)
      assert.ok((await bytesOf(tree.open('f'))).equals(model))
      const [start, end] = from < to ? [from, to] : [to, from]
      assert.ok((await bytesOf(tree.open('f', { start, end }))).equals(model.subarray(start, end)))
    }),
    { numRuns: 150 },
  )
})

test('hostile #21: MemoryTree takes no memory for holes, nor for content that is only copied', async () => {
  const tree = new MemoryTree()
  let reads = 0
  const source: FileSource = {
    size: 2 ** 50,
    open() {
      reads += 1
      return streamOf()
    },
  }
  await tree.create('copied', { type: 'file', mode: 0o644, content: source })
  await tree.create('hole', { type: 'file', mode: 0o644 })
  await tree.truncate('hole', 2 ** 52)
  await tree.write('hole', 2 ** 51, Buffer.from('far'))
  assert.equal(reads, 0)
  assert.equal((await tree.lstat('hole'))?.size, 2 ** 52)
  assert.equal((await bytesOf(tree.open('hole', { start: 2 ** 51 - 1, end: 2 ** 51 + 4 }))).toString(), '\0far\0')
})

test('MemoryTree says when what a file was copied from has become shorter', async () => {
  const tree = new MemoryTree()
  await tree.create('f', { type: 'file', mode: 0o644, content: { size: 10, open: () => streamOf(Buffer.alloc(4)) } })
  await assert.rejects(bytesOf(tree.open('f')), { kind: 'conflict', code: 'STRATA_FILE_CHANGED' })
})

test('MemoryTree gives readers copies, which later writes leave alone', async () => {
  const tree = new MemoryTree()
  await tree.create('f', { type: 'file', mode: 0o644 })
  await tree.write('f', 0, Buffer.from('before'))
  const read = await bytesOf(tree.open('f'))
  const xattrs = (await tree.lstat('f'))!.xattrs
  await tree.write('f', 0, Buffer.from('after!'))
  await tree.setXattr('f', 'user.a', Buffer.from('b'))
  assert.equal(read.toString(), 'before')
  assert.equal(xattrs.size, 0)
})

test('MemoryTree fails as a file system does', async () => {
  const tree = new MemoryTree()
  await tree.create('d', { type: 'directory', mode: 0o755 })
  await tree.create('d/f', { type: 'file', mode: 0o644 })
  await tree.create('fifo', { type: 'fifo', mode: 0o644 })
  const cases: readonly (readonly [string, Promise<unknown>])[] = [
    ['EEXIST', tree.create('d', { type: 'fifo', mode: 0 })],
    ['EEXIST', tree.create('', { type: 'directory', mode: 0 })],
    ['ENOENT', tree.create('x/y', { type: 'fifo', mode: 0 })],
    ['ENOTDIR', tree.create('d/f/y', { type: 'fifo', mode: 0 })],
    ['EPERM', tree.link('d', 'e')],
    ['EEXIST', tree.link('d/f', 'fifo')],
    ['ENOENT', tree.link('x', 'e')],
    ['ENOTEMPTY', tree.remove('d')],
    ['EBUSY', tree.remove('')],
    ['ENOENT', tree.remove('x')],
    ['EEXIST', tree.rename('fifo', 'd')],
    ['EINVAL', tree.rename('d', 'd/e')],
    ['EBUSY', tree.rename('', 'e')],
    ['EISDIR', tree.write('d', 0, Buffer.from('x'))],
    ['EINVAL', tree.write('fifo', 0, Buffer.from('x'))],
    ['ENOENT', tree.setAttributes('x', { mode: 0 })],
    ['STRATA_ENOENT', tree.list('x')],
    ['STRATA_ENOTDIR', tree.list('fifo')],
    ['STRATA_ENOENT', bytesOf(tree.open('x'))],
    ['STRATA_EINVAL', bytesOf(tree.open('d'))],
  ]
  for (const [code, call] of cases) await assert.rejects(call, { code })
  assert.deepEqual(await tree.list(''), ['d', 'fifo'])
  assert.equal((await tree.lstat('d/f'))?.links, 1)
})
