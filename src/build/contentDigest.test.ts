import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MemoryTree } from '../union/index.ts'
import { digestSources } from './contentDigest.ts'
import { findSources } from './sourcePaths.ts'

async function treeWith(files: Readonly<Record<string, string>>): Promise<MemoryTree> {
  const tree = new MemoryTree()
  await tree.create('d', { type: 'directory', mode: 0o755 })
  for (const [path, content] of Object.entries(files)) {
    await tree.create(path, { type: 'file', mode: 0o644 })
    await tree.write(path, 0, Buffer.from(content))
  }
  return tree
}

async function digest(tree: MemoryTree, excluded = 'none'): Promise<string> {
  return (await digestSources(tree, await findSources(tree, 'd'), path => path === excluded)).digest
}

test('digestSources() is that of names, contents, modes and owners, not of times', async () => {
  const first = await digest(await treeWith({ 'd/a': '1', 'd/b': '2' }))
  const later = await treeWith({ 'd/b': '2', 'd/a': '1' })
  await later.setAttributes('d/a', { modifiedAt: { seconds: 1, nanoseconds: 0 } })
  assert.equal(await digest(later), first)
  const changes: readonly ((tree: MemoryTree) => Promise<void>)[] = [
    tree => tree.write('d/a', 0, Buffer.from('2')),
    tree => tree.rename('d/a', 'd/c'),
    tree => tree.remove('d/a'),
    tree => tree.setAttributes('d/a', { mode: 0o600 }),
    tree => tree.setAttributes('d', { uid: 1 }),
    tree => tree.setXattr('d/a', 'user.x', Buffer.from('1')),
    tree => tree.create('d/e', { type: 'directory', mode: 0o755 }),
    tree => tree.create('d/l', { type: 'symlink', mode: 0o777, linkTarget: 'a' }),
  ]
  const seen = new Set([first])
  for (const change of changes) {
    const tree = await treeWith({ 'd/a': '1', 'd/b': '2' })
    await change(tree)
    seen.add(await digest(tree))
  }
  assert.equal(seen.size, changes.length + 1)
  assert.equal(
    await digest(await treeWith({ 'd/a': '1', 'd/b': 'other' }), 'b'),
    await digest(await treeWith({ 'd/a': '1', 'd/b': '2' }), 'b'),
  )
})

test('digestSources() gives a tree that fails where a file is not what it was', async () => {
  const tree = await treeWith({ 'd/a': '1', 'd/b': '2' })
  const { tree: same } = await digestSources(tree, await findSources(tree, 'd'), () => false)
  await tree.write('d/a', 0, Buffer.from('9'))
  await assert.rejects(Array.fromAsync(same.open('d/a')), { code: 'STRATA_SOURCE_CHANGED' })
  assert.equal(Buffer.concat(await Array.fromAsync(same.open('d/b'))).toString(), '2')
})
