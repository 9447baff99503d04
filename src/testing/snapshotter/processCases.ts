import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Snapshotter } from '../../snapshot/index.ts'
import { CHANGED_FILES, contentOf, STACK_LAYERS, stackNames, startProcess } from './child.ts'
import { pictureOf } from './picture.ts'
import { type Cases, commitChanged, mounted, namesOf, removeAll, type Subject } from './subject.ts'

/** The files of a state with their contents. */
async function contentsOf(snapshots: Snapshotter, name: string): Promise<ReadonlyMap<string, string>> {
  const tree = await snapshots.tree(name)
  const contents = new Map<string, string>()
  const pending = ['']
  try {
    for (let path = pending.pop(); path !== undefined; path = pending.pop()) {
      const node = (await tree.lstat(path))!
      if (node.type === 'directory') for (const child of await tree.list(path)) pending.push(path === '' ? child : `${path}/${child}`)
      else contents.set(path, Buffer.concat(await Array.fromAsync(tree.open(path))).toString())
    }
  } finally {
    await tree.close()
  }
  return contents
}

/** Asserts that a state that a churning process made has all that it had when it was committed, and all of those below. */
async function assertWhole(snapshots: Snapshotter, name: string): Promise<void> {
  const [, kind, text = ''] = / (state|stack) (.*)$/.exec(name) ?? []
  const prefix = name.slice(0, name.indexOf(` ${kind} `))
  const expected = new Map<string, string>()
  if (kind === 'state') {
    for (let round = 0; round <= Number(text); round += 1) {
      for (let n = 0; n < CHANGED_FILES; n += 1) expected.set(`${round} ${n}`, contentOf(`${prefix} state ${round}`, n))
    }
  } else {
    const names = stackNames(name.slice(0, -1))
    expected.set('top', name)
    for (const each of names.slice(0, names.indexOf(name) + 1))
      for (let n = 0; n < 15; n += 1) expected.set(`${each}/${n}`, contentOf(each, n))
  }
  assert.deepEqual(await contentsOf(snapshots, name), expected, name)
}

/** What a killed process left must be a store like any other, with all that it had acknowledged. */
async function assertConsistent({ snapshots, scratch }: Subject, lines: readonly string[]): Promise<void> {
  const infos = new Map((await Array.fromAsync(snapshots.list())).map(info => [info.name, info]))
  for (const { name, parent } of infos.values()) {
    if (parent !== undefined) assert.equal(infos.get(parent)?.kind, 'committed', `the parent of "${name}"`)
  }
  const after = (verb: string): readonly string[] =>
    lines.filter(line => line.startsWith(`${verb} `)).map(line => line.slice(verb.length + 1))
  const leaving = new Set(after('removing'))
  for (const name of after('removed')) assert.equal(infos.has(name), false, `"${name}" was removed`)
  const committing = new Set(after('committing'))
  for (const key of after('prepared')) {
    if (leaving.has(key) || committing.has(key)) continue
    assert.equal(infos.get(key)?.kind, 'active', `"${key}" was prepared`)
  }
  for (const name of after('committed')) assert.equal(infos.get(name)?.kind, 'committed', `"${name}" was committed`)
  for (const stack of after('imported')) {
    for (const name of stackNames(stack)) assert.ok(infos.has(name) || leaving.has(name), `"${name}" was imported`)
  }
  for (const { name, kind, parent } of infos.values()) {
    if (kind === 'committed') await assertWhole(snapshots, name)
    else {
      // Writable or not, it can be mounted and shows its parent and what was written.
      const below = parent === undefined ? [] : [...(await contentsOf(snapshots, parent)).keys()]
      await mounted(scratch, await snapshots.mounts(name), directory => {
        for (const path of below) readFileSync(join(directory, path))
      })
    }
    const stack = / stack \d+ \d$/.test(name) ? name.slice(0, -1) : undefined
    if (stack !== undefined && !stackNames(stack).some(each => leaving.has(each))) {
      assert.equal(stackNames(stack).filter(each => infos.has(each)).length, STACK_LAYERS, `the layers of "${stack}" are visible together`)
    }
  }
}

const KILLS = 8

/** Several processes, and ends of processes, on one root. */
export const PROCESS_CASES: Cases = {
  async 'hostile #68: a process that is killed at any moment leaves whole states, and no garbage that removeOrphans() does not take'(
    subject,
    t,
  ) {
    const { snapshots, statesOnDisk, root } = subject
    let steps = 0
    let orphans = 0
    for (let kill = 0; kill < KILLS; kill += 1) {
      await using child = startProcess(subject, { action: 'churn', prefix: `p${kill}` })
      while (child.lines().length === 0 && child.process.exitCode === null) await sleep(5)
      await sleep(Math.random() * 800)
      child.process.kill('SIGKILL')
      const lines = await child.ended()
      steps += lines.length
      await assertConsistent(subject, lines)
      orphans += await snapshots.removeOrphans()
      assert.equal(await snapshots.removeOrphans(), 0)
      await assertConsistent(subject, lines)
      assert.equal(await statesOnDisk(root), (await namesOf(snapshots)).length)
      await removeAll(snapshots)
      assert.equal(await statesOnDisk(root), 0)
    }
    t.diagnostic(`${steps} steps acknowledged before ${KILLS} kills; ${orphans} states without a record`)
    assert.ok(steps > KILLS)
  },

  async 'hostile #70: two processes import the same image at once: each name is one state, and nothing is left over'(subject) {
    const { snapshots, statesOnDisk, root } = subject
    for (const prefix of ['a', 'b']) {
      await Promise.all([1, 2].map(() => startProcess(subject, { action: 'import', prefix }).ended()))
      for (const name of stackNames(prefix)) assert.equal((await snapshots.stat(name)).kind, 'committed')
      const top = stackNames(prefix).at(-1)!
      assert.equal((await contentsOf(snapshots, top)).size, 15 * STACK_LAYERS + 1)
      assert.equal((await contentsOf(snapshots, top)).get('top'), top)
    }
    assert.equal(await statesOnDisk(root), 2 * STACK_LAYERS)
    assert.equal(await snapshots.removeOrphans(), 0)
  },

  async 'hostile #70: of four processes that prepare one key, one makes it'(subject) {
    const { snapshots, statesOnDisk, root } = subject
    await commitChanged(subject, 'base', { change: path => writeFileSync(join(path, 'a'), '1') })
    const said = await Promise.all([1, 2, 3, 4].map(() => startProcess(subject, { action: 'prepare', key: 'key', parent: 'base' }).ended()))
    assert.deepEqual(said.flat().toSorted(), ['made', 'taken', 'taken', 'taken'])
    assert.equal(await statesOnDisk(root), 2)
    assert.deepEqual(await pictureOf(snapshots, 'key'), await pictureOf(snapshots, 'base'))
  },

  async 'hostile #70: processes that work at once with others that look for orphans lose nothing'(subject) {
    const { snapshots } = subject
    await using one = startProcess(subject, { action: 'churn', prefix: 'p1' })
    await using two = startProcess(subject, { action: 'churn', prefix: 'p2' })
    const children = [one, two]
    while (children.some(child => child.lines().length < 15 && child.process.exitCode === null)) {
      await snapshots.removeOrphans()
      await sleep(5)
    }
    for (const child of children) assert.equal(child.process.exitCode, null, 'it still works')
    for (const child of children) child.process.kill('SIGKILL')
    const lines = (await Promise.all(children.map(child => child.ended()))).flat()
    await assertConsistent(subject, lines)
  },

  async 'hostile #71: a state that a killed process was making keeps neither its key nor its parent'(subject) {
    const { snapshots, statesOnDisk, root } = subject
    await using child = startProcess(subject, { action: 'churn', prefix: 'p' })
    while (child.lines().length < 3 && child.process.exitCode === null) await sleep(5)
    child.process.kill('SIGKILL')
    await child.ended()
    // Whatever was interrupted: everything can be removed, and made again, without a look for orphans before.
    await removeAll(snapshots)
    for (const key of ['p key 0', 'p key 1', 'p state 0', 'p view', 'p idle 0']) await snapshots.prepare(key, undefined)
    await snapshots.removeOrphans()
    assert.equal(await statesOnDisk(root), 5)
  },
}
