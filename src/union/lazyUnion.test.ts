import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import {
  bytesOf,
  dir,
  file,
  hardlink,
  indexOf,
  type Member,
  opaque,
  pictureOf,
  symlink,
  tarOf,
  whiteout,
} from '../../test/layer/layerTars.ts'
import { indexedLayer, paths, stacks } from '../../test/union/layerStacks.ts'
import { isStrataError } from '../base/index.ts'
import type { ReadableTree } from '../layer/index.ts'
import { type IndexedLayer, layerUnion, type LazyUnion, lazyUnion } from './index.ts'

interface Watched {
  readonly tree: LazyUnion
  /** The layers that were opened, the top one is 0. */
  readonly opened: number[]
}

/** @param layers top first */
function watched(layers: readonly IndexedLayer[]): Watched {
  const opened: number[] = []
  const tree = lazyUnion(
    layers.map((layer, at) => async () => {
      opened.push(at)
      return layer
    }),
  )
  return { tree, opened }
}

/** @param stack members of layer tars, the base first */
async function layersOf(stack: readonly (readonly Member[])[]): Promise<readonly IndexedLayer[]> {
  const layers = await Promise.all(stack.map(async members => indexedLayer(await indexOf(...members), tarOf(...members))))
  return layers.toReversed()
}

const outcome = async (work: () => Promise<unknown>): Promise<unknown> => {
  try {
    return await work()
  } catch (error) {
    if (!isStrataError(error)) throw error
    return error.code
  }
}

test('lazyUnion() shows what layerUnion() shows of the same layers, whatever is asked first', async () => {
  let shown = 0
  await fc.assert(
    fc.asyncProperty(stacks, fc.array(paths, { maxLength: 4 }), async (stack, asked) => {
      const layers = await layersOf(stack).catch((error: unknown) => {
        assert.ok(isStrataError(error))
      })
      if (layers === undefined) return
      const { tree, opened } = watched(layers)
      const union = layerUnion(layers)
      for (const path of asked) {
        const ask = (each: ReadableTree): Promise<unknown> =>
          outcome(async () => {
            const node = await each.lstat(path)
            return [node, node?.type === 'file' ? (await bytesOf(each.open(path))).toString() : '']
          })
        const expected = await ask(union)
        // A hard link to nowhere spoils the layers that are looked at, which are fewer here.
        if (expected === 'STRATA_HARD_LINK_TARGET') continue
        assert.deepEqual(await ask(tree), expected)
        assert.equal((await tree.find(path))?.type, (await union.lstat(path))?.type)
      }
      const picture = await outcome(() => pictureOf(union))
      assert.deepEqual(await outcome(() => pictureOf(tree)), picture)
      assert.equal(new Set(opened).size, opened.length, 'each layer is opened once')
      if (typeof picture === 'object') shown += 1
    }),
    { numRuns: Number(process.env['STRATA_RUNS'] ?? 300) },
  )
  assert.ok(shown > 100, `${shown} stacks were shown`)
})

/** What each question opened, from the top layer (0) down. @param stack base first */
async function openedBy(stack: readonly (readonly Member[])[], ask: (tree: LazyUnion) => Promise<unknown>): Promise<readonly number[]> {
  const { tree, opened } = watched(await layersOf(stack))
  await outcome(() => ask(tree))
  return opened
}

const read =
  (path: string) =>
  (tree: LazyUnion): Promise<Buffer> =>
    bytesOf(tree.open(path))

test('lazyUnion() opens no layer below the one that decides about a file', async () => {
  const base = [dir('d'), file('d/f', 'base'), file('d/g', 'base'), file('x')]
  // The topmost layer that has it, though it only implies the directory.
  assert.deepEqual(await openedBy([base, [file('d/f', 'upper')]], read('d/f')), [0])
  assert.deepEqual(await openedBy([base, [file('d/f', 'upper')]], read('d/g')), [0, 1])
  // A whiteout of it, or of its directory.
  assert.deepEqual(await openedBy([base, [whiteout('d/f')], [file('y')]], read('d/f')), [0, 1])
  assert.deepEqual(await openedBy([base, [whiteout('d')], [file('y')]], read('d/f')), [0, 1])
  // An opaque directory that does not have it.
  assert.deepEqual(await openedBy([base, [opaque('d'), file('d/h')]], read('d/f')), [0])
  // Something else than a directory on the way.
  assert.deepEqual(await openedBy([base, [file('d', 'file')]], read('d/f')), [0])
  assert.deepEqual(await openedBy([base, [symlink('d', 'e')]], read('d/f')), [0])
  // What a lower layer has where an upper one has a directory hides what is further below.
  assert.deepEqual(await openedBy([base, [file('d')], [file('d/h')]], read('d/f')), [0, 1])
})

test('lazyUnion() lists a directory from the layers down to the one that hides the rest', async () => {
  const list = (tree: LazyUnion): Promise<unknown> => tree.list('d')
  const base = [dir('d'), file('d/f')]
  assert.deepEqual(await openedBy([base, [dir('d'), file('d/g')]], list), [0, 1])
  assert.deepEqual(await openedBy([base, [opaque('d'), file('d/g')], [file('d/h')]], list), [0, 1])
  assert.deepEqual(await openedBy([base, [whiteout('d')], [file('d/h')]], list), [0, 1])
})

test('lazyUnion() finds a directory that is only implied without the layers below, and its attributes there', async () => {
  const stack = [[dir('d', { uid: 7 })], [file('d/f')]]
  assert.deepEqual(await openedBy(stack, tree => tree.find('d')), [0])
  assert.deepEqual(await openedBy(stack, tree => tree.lstat('d')), [0, 1])
  assert.equal((await watched(await layersOf(stack)).tree.lstat('d'))?.uid, 7)
})

test('lazyUnion() follows a hard link to a file of a layer below, and opens no more than that takes', async () => {
  const stack = [[file('z')], [file('f', 'content'), file('g', 'base')], [hardlink('l', 'f')]]
  const { tree, opened } = watched(await layersOf(stack))
  assert.equal((await bytesOf(tree.open('l'))).toString(), 'content')
  assert.equal((await tree.lstat('l'))?.links, 2)
  assert.deepEqual(opened, [0, 1])
})

test('lazyUnion() looks at paths as deep as Linux has them', async () => {
  const path = Array.from({ length: 2000 }, () => 'd').join('/')
  const { tree } = watched(await layersOf([[file(`${path}/f`, 'deep')], [file('x')]]))
  assert.equal((await bytesOf(tree.open(`${path}/f`))).toString(), 'deep')
  assert.deepEqual(await tree.list(path), ['f'])
})

test('lazyUnion() of no layers has an empty root, and nothing else', async () => {
  const { tree } = watched([])
  assert.deepEqual(await tree.list(''), [])
  await assert.rejects(tree.list('etc'), { code: 'STRATA_ENOENT' })
})
