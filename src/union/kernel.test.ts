import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { needsRoot, type Picture, pictureOf, scratchDirectory } from '../../test/layer/layerTars.ts'
import { oldDirectory, stacks, unpack, withOverlay, withoutClock } from '../../test/union/layerStacks.ts'
import { type Choice, type Operation, outcome, pathsIn, runOnKernel, runOnUnion, settle, traces } from '../../test/union/operations.ts'
import { isStrataError } from '../base/index.ts'
import { close, CURRENT_DIRECTORY, openDirectoryAt, removeTreeAt } from '../host/index.ts'
import { type Change, directoryTree, overlayChanges, type ReadableTree } from '../layer/index.ts'
import { MemoryTree, overlayUnion, Union, WritableDirectory } from './index.ts'

/** STRATA_RUNS=5000 looks longer; STRATA_SEED repeats a run that fast-check reported. */
const parameters = {
  numRuns: Number(process.env['STRATA_RUNS'] ?? 120),
  ...(process.env['STRATA_SEED'] === undefined ? {} : { seed: Number(process.env['STRATA_SEED']) }),
}

interface Sight {
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
      outcomes.push(`${JSON.stringify(step)} ${await outcome(() => runOnKernel(root, step))}`)
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

async function throughUnion(union: Union, trace: readonly Operation[]): Promise<Sight> {
  const outcomes: string[] = []
  for (const step of trace) outcomes.push(`${JSON.stringify(step)} ${await outcome(() => runOnUnion(union, step))}`)
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
