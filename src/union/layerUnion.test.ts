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
  needsRoot,
  opaque,
  type Picture,
  pictureOf,
  scratchDirectory,
  symlink,
  tarOf,
  whiteout,
} from '../../test/layer/layerTars.ts'
import { indexedLayer, oldDirectory, stacks, unpack } from '../../test/union/layerStacks.ts'
import { isStrataError } from '../base/index.ts'
import { CURRENT_DIRECTORY, removeTreeAt } from '../host/index.ts'
import type { ReadableTree } from '../layer/index.ts'
import { layerUnion, overlayUnion } from './index.ts'

/** @param stack members of layer tars, the base first */
async function unionOf(...stack: readonly (readonly Member[])[]): Promise<ReadableTree> {
  const layers = await Promise.all(stack.map(async members => indexedLayer(await indexOf(...members), tarOf(...members))))
  return layerUnion(layers.toReversed())
}

async function textAt(tree: ReadableTree, path: string): Promise<string> {
  return (await bytesOf(tree.open(path))).toString()
}

/** Everything that a tree shows, with link counts; or the code of its error. */
async function sight(tree: ReadableTree): Promise<{ picture: Picture; links: Record<string, number> } | string> {
  try {
    const picture = await pictureOf(tree)
    const links: Record<string, number> = {}
    for (const path of Object.keys(picture)) {
      const node = (await tree.lstat(path))!
      if (node.type !== 'directory') links[path] = node.links
    }
    return { picture, links }
  } catch (error) {
    if (!isStrataError(error)) throw error
    return error.code
  } finally {
    await tree.close()
  }
}

test('layerUnion() shows of packed layers what overlayfs shows of the same layers unpacked', { skip: needsRoot }, async t => {
  const parent = await scratchDirectory(t)
  let run = 0
  let shown = 0
  await fc.assert(
    fc.asyncProperty(stacks, async stack => {
      run += 1
      const scratch = await oldDirectory(parent, `run${run}`)
      try {
        const { directories, layers } = await unpack(scratch, stack)
        shown += 1
        assert.deepEqual(await sight(layerUnion(layers)), await sight(overlayUnion(directories)))
      } catch (error) {
        if (!isStrataError(error)) throw error
        if (error.code !== 'STRATA_HARD_LINK_TARGET') return
        // Either an index cannot be made, which is not the union's affair, or the union says the same.
        const union = await unionOf(...stack).catch((other: unknown) => {
          assert.ok(isStrataError(other))
        })
        if (union !== undefined) assert.equal(await sight(union), error.code)
      } finally {
        removeTreeAt(CURRENT_DIRECTORY, scratch)
      }
    }),
    { numRuns: Number(process.env['STRATA_RUNS'] ?? 250) },
  )
  assert.ok(shown > run / 2, `${shown} of ${run} stacks were shown`)
})

test('hostile #31: a whiteout below a symlink of a lower layer hides nothing where the link leads', async () => {
  const tree = await unionOf([file('tmp/p/victim', 'kept'), symlink('etc', 'tmp/p')], [whiteout('etc/victim')])
  assert.equal(await textAt(tree, 'tmp/p/victim'), 'kept')
  assert.equal((await tree.lstat('etc'))?.type, 'directory')
  assert.deepEqual(await tree.list('etc'), [])
})

test('hostile #32: an opaque marker hides lower layers only, wherever it stands in the tar', async () => {
  for (const upper of [
    [opaque('d'), file('d/new')],
    [file('d/new'), opaque('d')],
  ]) {
    const tree = await unionOf([file('d/old'), file('d/e/older')], upper)
    assert.deepEqual(await tree.list('d'), ['new'])
    assert.equal(await tree.lstat('d/e/older'), undefined)
  }
})

test('hostile #33, #34: a name beside its own whiteout shows, and whiteouts of nothing mean nothing', async () => {
  for (const upper of [
    [whiteout('f'), file('f', 'upper'), whiteout('nope')],
    [whiteout('nope'), file('f', 'upper'), whiteout('f')],
  ]) {
    const tree = await unionOf([file('f', 'lower'), file('g')], upper)
    assert.deepEqual(await tree.list(''), ['f', 'g'])
    assert.equal(await textAt(tree, 'f'), 'upper')
  }
})

test('hostile #35: what changes its type hides all that was below it', async () => {
  const directory = [dir('x'), file('x/inner')]
  const others = [[file('x', 'file')], [symlink('x', 'elsewhere')]]
  for (const other of others) {
    const over = await unionOf(directory, other)
    assert.equal(await over.lstat('x/inner'), undefined)
    await assert.rejects(over.list('x'), { code: 'STRATA_ENOTDIR' })
    const under = await unionOf(directory, other, [file('x/later')])
    assert.deepEqual(await under.list('x'), ['later'])
  }
})

test('hostile #36: what AUFS kept for itself is not shown', async () => {
  const tree = await unionOf([file('.wh..wh.plnk/1.2', 'a'), file('.wh..wh.aufs'), dir('.wh..wh.orph'), file('f')])
  assert.deepEqual(await tree.list(''), ['f'])
})

test('hostile #37: a hard link to a lower file is that file, with all names of both layers', async () => {
  const base = [file('f', 'content', { mode: 0o4755, uid: 7 }), file('gone', 'still here'), symlink('way', '.')]
  const upper = [hardlink('l', 'f'), hardlink('m', 'l'), hardlink('k', 'way/f'), hardlink('kept', 'gone'), whiteout('gone')]
  const tree = await unionOf(base, upper)
  const nodes = await Promise.all(['f', 'l', 'm', 'k'].map(path => tree.lstat(path)))
  assert.equal(new Set(nodes.map(node => node?.inode)).size, 1)
  assert.deepEqual([nodes[1]?.links, nodes[1]?.mode, nodes[1]?.uid], [4, 0o4755, 7])
  assert.equal(await textAt(tree, 'm'), 'content')
  assert.equal(await textAt(tree, 'kept'), 'still here')
  assert.deepEqual(await tree.list(''), ['f', 'k', 'kept', 'l', 'm', 'way'])
  const chain = Array.from({ length: 2000 }, (_, at) => hardlink(`c${at}`, at === 0 ? 'f' : `c${at - 1}`))
  assert.equal((await (await unionOf(base, chain)).lstat('c1999'))?.links, 2001)
})

test('hostile #37: a hard link to what is nowhere is an error, not a file', async () => {
  for (const target of ['nowhere', 'd', 'f/x', 'loop/x']) {
    const tree = await unionOf([dir('d'), file('f'), symlink('loop', 'loop')], [hardlink('l', target)])
    await assert.rejects(tree.lstat('l'), { kind: 'invalidArgument', code: 'STRATA_HARD_LINK_TARGET' }, target)
  }
  for (const upper of [
    [hardlink('l', 'way/f'), file('d')],
    [hardlink('d', 'way/f')],
    [hardlink('l', 'way/f'), hardlink('d', 'e')],
    [hardlink('l', 'way/f'), hardlink('d/f', 'e')],
  ]) {
    const tree = await unionOf([file('d/f'), file('e'), symlink('way', 'd')], upper)
    await assert.rejects(tree.lstat(upper[0]!.path), { code: 'STRATA_HARD_LINK_TARGET' }, JSON.stringify(upper))
  }
})

test('hard links to one file below whose own name the layer hides are one file', async () => {
  const tree = await unionOf([file('f', 'x')], [hardlink('a', 'f'), hardlink('b', 'f'), whiteout('f')])
  const [a, b] = await Promise.all(['a', 'b'].map(path => tree.lstat(path)))
  assert.equal(a!.inode, b!.inode)
  assert.equal(a!.links, 2)
})

test('hostile #39: layerUnion() looks through 500 layers', async () => {
  const tree = await unionOf(...Array.from({ length: 500 }, (_, at) => [file(`d/f${at}`), file('same', String(at))]))
  assert.equal((await tree.list('d')).length, 500)
  assert.equal(await textAt(tree, 'same'), '499')
  assert.equal((await tree.lstat('d/f0'))?.type, 'file')
})
