import { mkdir, mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { CURRENT_DIRECTORY, removeTree } from '../host/index.ts'
import { CHANGE_CASES } from './snapshotter/changeCases.ts'

import { LIFE_CYCLE_CASES } from './snapshotter/lifeCycleCases.ts'
import { PROCESS_CASES } from './snapshotter/processCases.ts'
import { STACK_CASES } from './snapshotter/stackCases.ts'
import type { Cases, SnapshotterModule } from './snapshotter/subject.ts'

/** A Snapshotter and what of the suite it cannot do. */
export interface SnapshotterUnderTest {
  readonly name: string
  /** The URL of a module that exports a SnapshotterModule; other processes import it too. */
  readonly module: URL
  /** Where the states are: on the disk of this directory; `os.tmpdir()`, which may be a tmpfs, when left out. */
  readonly directory?: string
  /** Titles of cases, each with the reason why it is skipped. */
  readonly skip?: Readonly<Record<string, string>>
}

const CASES: Cases = { ...LIFE_CYCLE_CASES, ...CHANGE_CASES, ...STACK_CASES, ...PROCESS_CASES }

/**
 * Runs the conformance suite of Snapshotter, as root: it mounts.
 */
export function testSnapshotter(subject: SnapshotterUnderTest): void {
  const skip = subject.skip ?? {}
  for (const title of Object.keys(skip)) if (!(title in CASES)) throw new Error(`Cannot skip "${title}": no such case`)
  const needsRoot = process.getuid?.() === 0 ? false : 'needs root: it mounts'
  describe(`Snapshotter: ${subject.name}`, { skip: needsRoot }, () => {
    for (const [title, run] of Object.entries(CASES)) {
      test(title, { skip: skip[title] ?? false }, async t => {
        const place = await mkdtemp(join(subject.directory ?? tmpdir(), 'strata-snapshotter-suite-'))
        const [root, scratch] = [join(place, 'root'), join(place, 'scratch')]
        try {
          await mkdir(root)
          await mkdir(scratch)
          const { openSnapshotter, statesOnDisk } = (await import(subject.module.href)) as SnapshotterModule
          await using snapshots = await openSnapshotter(root)
          await run({ snapshots, openSnapshotter, statesOnDisk, module: subject.module, root, scratch }, t)
        } finally {
          await removeTree(CURRENT_DIRECTORY, place)
        }
      })
    }
  })
}
