import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import {
  dir,
  file,
  hardlink,
  type Member,
  needsRoot,
  type Picture,
  pictureOf,
  scratchDirectory,
  symlink,
} from '../../test/layer/layerTars.ts'
import { oldDirectory, stacks, unpack, withOverlay, withoutClock } from '../../test/union/layerStacks.ts'
import { type Choice, type Operation, outcome, pathsIn, runOnKernel, runOnUnion, settle, traces } from '../../test/union/operations.ts'
import { isStrataError } from '../base/index.ts'
import { close, CURRENT_DIRECTORY, openDirectoryAt, removeTreeAt } from '../host/index.ts'
import { type Change, directoryTree, overlayChanges, type ReadableTree } from '../layer/index.ts'
import { MemoryTree, overlayUnion, Union, WritableDirectory } from './index.ts'

/** STRATA_RUNS=5000 looks longer; STRATA_SEED repeats a run that fast-check reported. */
const parameters = {
  numRuns: Number(process.env['STRATA_RUNS'] ?? 150),
  examples: [
    trace({ do: 'create', path: 'c', node: { type: 'file', mode: 0o6755 } }, { do: 'chown', path: 'c', uid: 1, gid: 1 }),
    trace({ do: 'chmod', path: 'a/f', mode: 0o6664 }, { do: 'chown', path: 'a/f', uid: 1, gid: 1 }),
    trace({ do: 'link', path: 'a/f', to: 'c' }, { do: 'rename', path: 'c', to: 'a/f' }),
    trace({ do: 'link', path: 'a/f', to: 'c' }, { do: 'rename', path: 'a/g', to: 'a/f' }),
    trace({ do: 'rename', path: 'a/g', to: 'a/f' }),
    trace({ do: 'truncate', path: 'a/f', size: 1 }, { do: 'truncate', path: 'a/f', size: 70_000 }),
    trace(
      { do: 'write', path: 'a/f', position: 2, text: 'W' },
      { do: 'truncate', path: 'a/f', size: 1 },
      { do: 'truncate', path: 'a/f', size: 5 },
    ),
    trace(
      { do: 'create', path: 'n', node: { type: 'directory', mode: 0o755 } },
      { do: 'create', path: 'n/d', node: { type: 'directory', mode: 0o755 } },
      { do: 'rename', path: 'n/d', to: 'd' },
      { do: 'create', path: 'n/d', node: { type: 'fifo', mode: 0o600 } },
    ),
    trace(
      { do: 'empty', path: 'a' },
      { do: 'create', path: 'a/e', node: { type: 'directory', mode: 0o755 } },
      { do: 'rename', path: 'a', to: 'b' },
    ),
  ],
  ...(process.env['STRATA_SEED'] === undefined ? {} : { seed: Number(process.env['STRATA_SEED']) }),
}

/** A fixed trace on two layers with a directory, hard links and a symlink. */
function trace(...steps: readonly Operation[]): [Member[][], Choice[]] {
  const times = { modifiedAt: { seconds: 5, nanoseconds: 5 } }
  const base = [dir('a', times), file('a/f', 'content', times), hardlink('a/g', 'a/f', times), dir('a/e', times), file('a/e/x', '', times)]
  return [[base, [file('b/y', '', times), symlink('l', 'a', times)]], steps.map(step => ({ step }))]
}

interface Sight {
  /** Of each step: the names before it, the step itself, and the errno it ended with. */
  readonly outcomes: readonly string[]
  readonly tree: Picture
  readonly links: Readonly<Record<string, number>>
  readonly changes: readonly string[]
}

/** How many names each inode has, by path; a count says little of directories. */
async function linksOf(tree: ReadableTree, paths: readonly string[]): Promise<Record<string, number>> {
  const links: Record<string, number> = {}
  for (const path of paths) {
    const node = (await tree.lstat(path))!
    if (node.type !== 'directory') links[path] = node.links
  }
  return links
}

async function listed(changes: AsyncIterable<Change>): Promise<string[]> {
  const lines: string[] = []
  for await (const { kind, path } of changes) lines.push(`${kind} ${path}`)
  return lines
}

/** Also settles what each choice means. */
async function throughKernel(
  scratch: string,
  lowers: readonly string[],
  choices: readonly Choice[],
): Promise<{ readonly trace: readonly Operation[]; readonly expected: Sight }> {
  const trace: Operation[] = []
  const upper = await oldDirectory(scratch, 'upper')
  const seen = await withOverlay(scratch, { lowers, upper }, async target => {
    const root = openDirectoryAt(CURRENT_DIRECTORY, target)
    const outcomes: string[] = []
    for (const choice of choices) {
      const { present, directories } = pathsIn(root)
      const step = settle(choice, present, directories)
      trace.push(step)
      outcomes.push(`${present.join(' ')} ${JSON.stringify(step)} ${await outcome(() => runOnKernel(root, step))}`)
    }
    close(root)
    return { outcomes, ...(await sightOf(directoryTree(target))) }
  })
  const below = overlayUnion(lowers)
  try {
    return { trace, expected: { ...seen, changes: await listed(overlayChanges(upper, below)) } }
  } finally {
    await below.close()
  }
}

async function namesIn(tree: ReadableTree, path: string): Promise<string[]> {
  if ((await tree.lstat(path))?.type !== 'directory') return [path]
  const below: string[][] = []
  for (const name of await tree.list(path)) below.push(await namesIn(tree, path === '' ? name : `${path}/${name}`))
  return [path, ...below.flat()]
}

async function throughUnion(union: Union, trace: readonly Operation[]): Promise<Sight> {
  const outcomes: string[] = []
  for (const step of trace) {
    const present = await namesIn(union, '')
    outcomes.push(`${present.join(' ')} ${JSON.stringify(step)} ${await outcome(() => runOnUnion(union, step))}`)
  }
  const changes = await listed(union.changes())
  return { outcomes, ...(await sightOf(union)), changes }
}

/** Looks at all of a tree, and closes it. */
async function sightOf(tree: ReadableTree): Promise<Pick<Sight, 'tree' | 'links'>> {
  try {
    const picture = await pictureOf(withoutClock(tree))
    return { tree: picture, links: await linksOf(tree, Object.keys(picture)) }
  } finally {
    await tree.close()
  }
}

function unionOver(lowers: readonly string[], upper: MemoryTree | WritableDirectory): Union {
  return new Union([{ tree: upper, access: 'rw' }, ...lowers.map(lower => ({ tree: directoryTree(lower), access: 'ro+wh' }) as const)])
}

test('Union does what overlayfs does, on a disk and in memory', { skip: needsRoot }, async t => {
  const parent = await scratchDirectory(t)
  let run = 0
  let valid = 0
  await fc.assert(
    fc.asyncProperty(stacks, traces, async (stack, choices) => {
      run += 1
      const scratch = await oldDirectory(parent, `run${run}`)
      try {
        const unpacked = await unpack(scratch, stack).catch((error: unknown) => {
          assert.ok(isStrataError(error), String(error))
        })
        if (unpacked === undefined) return
        valid += 1
        const lowers = unpacked.directories
        const { trace, expected } = await throughKernel(scratch, lowers, choices)
        const root = { mode: 0o755, uid: 0, gid: 0, modifiedAt: { seconds: 0, nanoseconds: 0 }, xattrs: new Map<string, Uint8Array>() }
        assert.deepEqual(await throughUnion(unionOver(lowers, new MemoryTree({ root })), trace), expected)
        const directory = await oldDirectory(scratch, 'written')
        assert.deepEqual(await throughUnion(unionOver(lowers, new WritableDirectory(directory)), trace), expected)
        const seen = { tree: expected.tree, links: expected.links }
        assert.deepEqual(await sightOf(overlayUnion([directory, ...lowers])), seen)
        assert.deepEqual(
          await withOverlay(scratch, { lowers: [directory, ...lowers] }, async target => sightOf(directoryTree(target))),
          seen,
        )
      } finally {
        removeTreeAt(CURRENT_DIRECTORY, scratch)
      }
    }),
    parameters,
  )
  assert.ok(valid > run / 3, `${valid} of ${run} stacks were valid`)
})
