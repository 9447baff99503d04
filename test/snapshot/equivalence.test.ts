import assert from 'node:assert/strict'
import { constants } from 'node:fs'
import { mkdir, mkdtemp } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import * as fc from 'fast-check'
import { errnoOf, isStrataError } from '../../src/base/index.ts'
import {
  chmodAt,
  chownAt,
  close,
  ConfinedRoot,
  CURRENT_DIRECTORY,
  openAt,
  openDirectoryAt,
  readDirectory,
  removeTree,
  setTimesAt,
  setXattrAt,
  type Stat,
  statAt,
  truncate,
  writeAll,
} from '../../src/host/index.ts'
import { packLayer } from '../../src/layer/index.ts'
import { digestOf } from '../../src/oci/index.ts'
import type { Snapshotter } from '../../src/snapshot/index.ts'
import {
  directory,
  file,
  hardlink,
  layerTar,
  type Member,
  opaque,
  special,
  symlink,
  whiteout,
} from '../../src/testing/snapshotter/layerTar.ts'
import { changesOf, type Picture, pictureOf, pictureOfDirectory } from '../../src/testing/snapshotter/picture.ts'
import { importLayers, mounted, removeAll } from '../../src/testing/snapshotter/subject.ts'
import { openStore } from './stores.ts'

/*
 * The same layers, imported by overlay2 and shown by the kernel, and imported by vfs, are the same
 * tree; and the same changes to it are the same layer. What overlayfs itself does otherwise than a
 * plain file system is left out: writing to a file below that has several names (only the name that
 * is written to gets the change), and renaming a directory from below (EXDEV).
 */

const names = fc.constantFrom('a', 'b', 'c')
const short = fc.array(names, { minLength: 1, maxLength: 2 }).map(parts => parts.join('/'))
const paths = fc.oneof(
  { weight: 4, arbitrary: short },
  fc.tuple(short, names).map(parts => parts.join('/')),
)
const attributes = fc.record({
  mode: fc.constantFrom(0o600, 0o4755, 0o1777),
  uid: fc.nat(2),
  gid: fc.nat(2),
  modifiedAt: fc.constantFrom({ seconds: 5, nanoseconds: 0 }, { seconds: -5, nanoseconds: 7 }),
  xattrs: fc.constantFrom(
    new Map<string, Uint8Array>(),
    new Map([['user.x', Buffer.of(0, 255)]]),
    new Map([['trusted.overlay.opaque', Buffer.from('y')]]),
  ),
})
const plain = attributes.map(each => ({ ...each, xattrs: new Map<string, Uint8Array>() }))
const contents = fc.constantFrom('', 'x', 'yy', 'z'.repeat(5000))

const members: fc.Arbitrary<Member> = fc.oneof(
  { weight: 6, arbitrary: fc.tuple(paths, contents, attributes).map(([path, bytes, more]) => file(path, bytes, more)) },
  { weight: 4, arbitrary: fc.tuple(paths, attributes).map(([path, more]) => directory(path, more)) },
  {
    weight: 2,
    arbitrary: fc
      .tuple(paths, fc.constantFrom('a', '/b', '../c', '../../a/b'), plain)
      .map(([path, target, more]) => symlink(path, target, more)),
  },
  { weight: 3, arbitrary: fc.tuple(paths, paths).map(([path, target]) => hardlink(path, target)) },
  fc.tuple(paths, plain).map(([path, more]) => special(path, 'fifo', more)),
  fc.tuple(paths, plain).map(([path, more]) => special(path, 'character', { ...more, device: { major: 1, minor: 3 } })),
  { weight: 4, arbitrary: paths.map(whiteout) },
  { weight: 2, arbitrary: fc.oneof(paths, fc.constant('')).map(opaque) },
  fc.constantFrom(file('.wh..wh.aufs'), directory('.wh..wh.plnk'), file('.wh..wh.plnk/12.34')),
  attributes.map(more => directory('.', more)),
)
const layers = fc.array(fc.array(members, { minLength: 1, maxLength: 7 }), { minLength: 1, maxLength: 4 })

/** What is done to one path of a mounted state. */
interface Step {
  readonly verb:
    | 'write'
    | 'append'
    | 'cut'
    | 'mode'
    | 'owner'
    | 'xattr'
    | 'time'
    | 'remove'
    | 'directory'
    | 'symlink'
    | 'link'
    | 'fifo'
    | 'rename'
  readonly path: string
  readonly other: string
}

const steps: fc.Arbitrary<readonly Step[]> = fc.array(
  fc.record({
    verb: fc.constantFrom<Step['verb'][]>(
      ...(['write', 'append', 'cut', 'mode', 'owner', 'xattr', 'time', 'remove', 'remove', 'directory', 'directory'] as const),
      ...(['symlink', 'link', 'fifo', 'rename'] as const),
    ),
    path: short,
    other: short,
  }),
  { minLength: 4, maxLength: 20 },
)

function perform(root: ConfinedRoot, { verb, path, other }: Step): void {
  switch (verb) {
    case 'write': {
      const fd = root.createFile(path, 0o640)
      try {
        writeAll(fd, Buffer.from(`written to ${path}`))
      } finally {
        close(fd)
      }
      break
    }
    case 'append':
    case 'cut':
      root.at(path, (dir, name) => change(dir, name, verb === 'cut' ? fd => truncate(fd, 1) : fd => writeAll(fd, Buffer.from('more'), 3)))
      break
    case 'mode':
      root.at(path, (dir, name) => chmodAt(dir, name, 0o2711))
      break
    case 'owner':
      root.at(path, (dir, name) => chownAt(dir, name, 7, 8))
      break
    case 'xattr':
      root.at(path, (dir, name) => setXattrAt(dir, name, { key: 'user.changed', value: Buffer.from(other) }))
      break
    case 'time':
      root.at(path, (dir, name) => setTimesAt(dir, name, { modifiedAt: { seconds: 11, nanoseconds: 12 } }))
      break
    case 'remove':
      root.removeTree(path)
      break
    case 'directory':
      root.makeDirectory(path, 0o750)
      break
    case 'symlink':
      root.symlink(other, path)
      break
    case 'link':
      root.link(other, path)
      break
    case 'fifo':
      root.makeNode(path, 'fifo', { mode: 0o600 })
      break
    case 'rename':
      root.rename(other, path)
      break
    default:
      verb satisfies never
  }
}

function change(dir: number, name: string, work: (fd: number) => void): void {
  const { type } = statAt(dir, name)
  if (type !== 'file') throw Object.assign(new Error(`EINVAL: ${name} is a ${type}`), { code: 'EINVAL' })
  const fd = openAt(dir, name, constants.O_WRONLY | constants.O_NOFOLLOW)
  try {
    work(fd)
  } finally {
    close(fd)
  }
}

const TOUCHES: ReadonlySet<Step['verb']> = new Set(['append', 'cut', 'mode', 'owner', 'xattr', 'time'])

/** Tells of the steps that overlayfs takes otherwise than a plain file system; asked before each step. */
class KnownDifferences {
  readonly #root: ConfinedRoot
  readonly #made = new Set<bigint>()

  constructor(plainRoot: ConfinedRoot) {
    this.#root = plainRoot
  }

  has({ verb, path, other }: Step): boolean {
    const subject = this.#stat(TOUCHES.has(verb) ? path : other)
    if (subject === undefined) return false
    if (verb === 'rename' && subject.type === 'directory') return !this.#made.has(subject.inode)
    return (TOUCHES.has(verb) || verb === 'link' || verb === 'rename') && subject.type !== 'directory' && subject.links > 1
  }

  /** Notes what a step has made. */
  note({ verb, path }: Step): void {
    if (verb === 'directory') this.#made.add(this.#stat(path)!.inode)
  }

  #stat(path: string): Stat | undefined {
    try {
      return this.#root.lstat(path)
    } catch {
      return undefined
    }
  }
}

function outcomeOf(root: ConfinedRoot, step: Step): string {
  try {
    perform(root, step)
    return 'done'
  } catch (error) {
    return errnoOf(error) ?? String(error)
  }
}

/** Gives everything that has changed since the test began one time. */
function levelTimes(dir: number, since: number): void {
  for (const { name } of readDirectory(dir)) {
    const { type, modifiedAt } = statAt(dir, name)
    if (type === 'directory') {
      const fd = openDirectoryAt(dir, name)
      try {
        levelTimes(fd, since)
      } finally {
        close(fd)
      }
    }
    if (modifiedAt.seconds >= since) setTimesAt(dir, name, { modifiedAt: { seconds: 77, nanoseconds: 7 } })
  }
}

const BEGUN = Math.floor(Date.now() / 1000) - 1

async function packedDigest(snapshots: Snapshotter, name: string): Promise<string> {
  const tree = await snapshots.tree(name)
  try {
    return digestOf(Buffer.concat(await Array.fromAsync(packLayer(snapshots.changes(name), tree))))
  } finally {
    await tree.close()
  }
}

/** Undefined for layers that are none. Which of them is told first depends on who was first. */
async function unlessRefused<T>(work: () => Promise<T>): Promise<T | undefined> {
  try {
    return await work()
  } catch (error) {
    assert.ok(isStrataError(error, 'invalidArgument'), String(error))
    return undefined
  }
}

const skip = process.getuid?.() === 0 ? false : 'needs root: it mounts'

for (const driverName of ['overlay2', 'erofs'])
  describe(`${driverName} and vfs`, { skip }, () => {
    let place = ''
    let scratch = ''
    let overlay!: Snapshotter
    let vfs!: Snapshotter

    before(async () => {
      // Not in /tmp, which may be a tmpfs (Debian 13): EROFS mounts no file of one.
      place = await mkdtemp('/var/tmp/strata-equivalence-')
      scratch = join(place, 'scratch')
      for (const path of [scratch, join(place, driverName), join(place, 'vfs')]) await mkdir(path)
      overlay = await openStore(join(place, driverName), driverName)
      vfs = await openStore(join(place, 'vfs'), 'vfs')
    })

    after(async () => {
      await overlay[Symbol.asyncDispose]()
      await vfs[Symbol.asyncDispose]()
      await removeTree(CURRENT_DIRECTORY, place)
    })

    test('show the same trees, changes and packed layers for the same layers and the same changes', async t => {
      let run = 0
      let whole = 0
      let done = 0
      await fc.assert(
        fc.asyncProperty(layers, steps, async (stack, script) => {
          run += 1
          try {
            // Most stacks that are refused have hard links to what is nowhere.
            const merged =
              (await importBoth(`run ${run} layer `, stack)) ??
              (await importBoth(
                `run ${run} layer `,
                stack.map(layer => layer.filter(({ type }) => type !== 'hardlink')),
              ))
            if (merged === undefined) return
            whole += 1
            await assertSameStates(stack.map((_, n) => `run ${run} layer ${n}`))
            done += await changeBoth(merged, script)
            await assertSameStates(['key'])
            assert.equal(await packedDigest(overlay, 'key'), await packedDigest(vfs, 'key'))
            for (const snapshots of [overlay, vfs]) await snapshots.commit('committed', 'key')
            await assertSameStates(['committed'])
          } finally {
            for (const snapshots of [overlay, vfs]) await removeAll(snapshots)
          }
        }),
        { numRuns: Number(process.env['STRATA_RUNS'] ?? 40) },
      )
      t.diagnostic(`${run} stacks, ${whole} of them layers that can be applied; ${done} changes`)
      assert.ok(whole > run / 3)
      assert.ok(done > whole)
    })

    /** Resolves with the name of the top; undefined where both refuse the layers. */
    async function importBoth(prefix: string, stack: readonly (readonly Member[])[]): Promise<string | undefined> {
      const tars = stack.map(layer => layerTar(...layer))
      const [one, two] = await Promise.all(
        [overlay, vfs].map(snapshots => unlessRefused(() => importLayers({ snapshots, scratch }, prefix, tars))),
      )
      assert.equal(one, two)
      return one
    }

    /** By the kernel and in this process, the state shows and changes the same. */
    async function assertSameStates(states: readonly string[]): Promise<void> {
      for (const name of states) {
        const expected = await pictureOf(vfs, name)
        assert.deepEqual(await pictureOf(overlay, name), expected, `tree() of ${name}`)
        assert.deepEqual(await kernelPicture(name), expected, `the kernel's view of ${name}`)
        assert.deepEqual(await changesOf(overlay, name), await changesOf(vfs, name), `changes() of ${name}`)
      }
    }

    async function kernelPicture(name: string): Promise<Picture> {
      if (!overlay.has(name)) return mounted(scratch, await overlay.mounts(name), pictureOfDirectory)
      const mounts = await overlay.view('view', name)
      try {
        return await mounted(scratch, mounts, pictureOfDirectory)
      } finally {
        await overlay.remove('view')
      }
    }

    /** Does the same in two active states; resolves with the number of steps that were possible. */
    async function changeBoth(parent: string, script: readonly Step[]): Promise<number> {
      let done = 0
      await mounted(scratch, await overlay.prepare('key', parent), async one =>
        mounted(scratch, await vfs.prepare('key', parent), two => {
          using merged = new ConfinedRoot(one)
          using plainRoot = new ConfinedRoot(two)
          const differences = new KnownDifferences(plainRoot)
          for (const step of script) {
            if (differences.has(step)) continue
            const outcome = outcomeOf(plainRoot, step)
            assert.equal(outcomeOf(merged, step), outcome, JSON.stringify(step))
            if (outcome !== 'done') continue
            differences.note(step)
            done += 1
          }
          for (const root of [one, two]) {
            const fd = openDirectoryAt(CURRENT_DIRECTORY, root)
            try {
              levelTimes(fd, BEGUN)
            } finally {
              close(fd)
            }
          }
        }),
      )
      return done
    }
  })
