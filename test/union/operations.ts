import { constants } from 'node:fs'
import * as fc from 'fast-check'
import { errnoOf } from '../../src/base/index.ts'
import {
  chmodAt,
  chownAt,
  close,
  linkAt,
  makeDirectoryAt,
  makeNodeAt,
  openAt,
  openBeneath,
  readDirectory,
  removeXattrAt,
  renameAt,
  setTimesAt,
  setXattrAt,
  statAt,
  symlinkAt,
  truncate,
  unlinkAt,
  writeAll,
} from '../../src/host/index.ts'
import type { NewNode, Union } from '../../src/union/index.ts'
import { CAPABILITY, paths } from './layerStacks.ts'

/** One step of a trace, as data, so that a counterexample can be read and kept. */
export type Operation =
  | { readonly do: 'create'; readonly path: string; readonly node: NewNode }
  | { readonly do: 'link' | 'rename'; readonly path: string; readonly to: string }
  | { readonly do: 'unlink' | 'removeDirectory' | 'empty'; readonly path: string }
  | { readonly do: 'chmod'; readonly path: string; readonly mode: number }
  | { readonly do: 'chown'; readonly path: string; readonly uid: number; readonly gid: number }
  | { readonly do: 'setModifiedAt'; readonly path: string; readonly seconds: number }
  | { readonly do: 'setXattr' | 'removeXattr'; readonly path: string; readonly key: string }
  | { readonly do: 'write'; readonly path: string; readonly position: number; readonly text: string }
  | { readonly do: 'truncate'; readonly path: string; readonly size: number }

const kinds: fc.Arbitrary<NewNode> = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom<NewNode>({ type: 'file', mode: 0o644 }, { type: 'file', mode: 0o6755 }) },
  { weight: 6, arbitrary: fc.constantFrom<NewNode>({ type: 'directory', mode: 0o755 }, { type: 'directory', mode: 0o1700 }) },
  {
    weight: 2,
    arbitrary: fc.constantFrom<NewNode>(
      { type: 'symlink', mode: 0o777, linkTarget: 'a' },
      { type: 'symlink', mode: 0o777, linkTarget: '/b' },
    ),
  },
  fc.constantFrom<NewNode>(
    { type: 'fifo', mode: 0o600 },
    { type: 'socket', mode: 0o600 },
    { type: 'character', mode: 0o666, device: { major: 1, minor: 3 } },
    { type: 'block', mode: 0o660, device: { major: 7, minor: 300 } },
    { type: 'character', mode: 0, device: { major: 0, minor: 0 } },
  ),
)
const rooted = fc.oneof({ weight: 15, arbitrary: paths }, fc.constant(''))
const key = fc.constantFrom('user.a', 'user.b', 'trusted.c', 'security.capability', 'strange.d')

const operation: fc.Arbitrary<Operation> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constant('create' as const), path: paths, node: kinds }) },
  { weight: 6, arbitrary: fc.record({ do: fc.constant('rename' as const), path: rooted, to: rooted }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('link' as const), path: paths, to: paths }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constantFrom('unlink' as const, 'removeDirectory' as const), path: paths }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('empty' as const), path: paths }) },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant('chmod' as const), path: rooted, mode: fc.constantFrom(0o600, 0o2775, 0o4711, 0o2664) }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('chown' as const), path: rooted, uid: fc.nat(2), gid: fc.nat(2) }) },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant('setModifiedAt' as const), path: rooted, seconds: fc.integer({ min: -9, max: 9 }) }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constantFrom('setXattr' as const, 'removeXattr' as const), path: rooted, key }) },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('write' as const),
      path: paths,
      position: fc.constantFrom(0, 2, 4999, 70_000),
      text: fc.constantFrom('', 'W', 'written'),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('truncate' as const), path: paths, size: fc.constantFrom(0, 1, 3000, 100_000) }) },
)

/** An operation whose paths may be chosen when it is known what is there; numbers count through that. */
export interface Choice {
  readonly step: Operation
  readonly path?: Place
  readonly to?: Place
}

interface Place {
  readonly at: number
  /** A name in the directory, and not the place itself. */
  readonly name?: string
}

const place: fc.Arbitrary<Place> = fc.oneof(
  fc.record({ at: fc.nat(100) }),
  fc.record({ at: fc.nat(100), name: fc.constantFrom('a', 'b', 'c') }),
)

export const traces: fc.Arbitrary<Choice[]> = fc.array(fc.record({ step: operation, path: place, to: place }, { requiredKeys: ['step'] }), {
  minLength: 1,
  maxLength: 25,
  size: '+1',
})

/**
 * Fixes the paths of an operation.
 *
 * @param present all paths of the tree as it is
 * @param directories those of them that are directories
 */
export function settle({ step, path, to }: Choice, present: readonly string[], directories: readonly string[]): Operation {
  // The root has no name, which many calls want.
  const named = present.slice(1)
  const find = ({ at, name }: Place, otherwise: string): string => {
    if (name === undefined) return (NAMELESS.has(step.do) ? present[at % present.length] : named[at % named.length]) ?? otherwise
    const directory = directories[at % directories.length]!
    return directory === '' ? name : `${directory}/${name}`
  }
  const settled = path === undefined ? step : { ...step, path: find(path, step.path) }
  return to === undefined || !('to' in settled) ? settled : { ...settled, to: find(to, settled.to) }
}

const NAMELESS: ReadonlySet<Operation['do']> = new Set(['chmod', 'chown', 'setModifiedAt', 'setXattr', 'removeXattr'])

/** All paths of a tree, the root first, and which of them are directories. */
export function pathsIn(root: number): { readonly present: readonly string[]; readonly directories: readonly string[] } {
  const present: string[] = []
  const directories: string[] = []
  const visit = (path: string): void => {
    const fd = openBeneath(root, path, constants.O_RDONLY | constants.O_DIRECTORY)
    const entries = readDirectory(fd).toSorted((a, b) => (a.name < b.name ? -1 : 1))
    close(fd)
    present.push(path)
    directories.push(path)
    for (const { name, type } of entries) {
      const child = path === '' ? name : `${path}/${name}`
      if (type === 'directory') visit(child)
      else present.push(child)
    }
  }
  visit('')
  return { present, directories }
}

/** The name of the errno that a call failed with, or `ok`. */
export async function outcome(call: () => Promise<void> | void): Promise<string> {
  try {
    await call()
    return 'ok'
  } catch (error) {
    const errno = errnoOf(error)
    if (errno === undefined) throw error
    return errno
  }
}

export async function runOnUnion(union: Union, step: Operation): Promise<void> {
  switch (step.do) {
    case 'create':
      return union.create(step.path, step.node)
    case 'link':
    case 'rename':
      return union[step.do](step.path, step.to)
    case 'unlink':
    case 'removeDirectory':
      return union[step.do](step.path)
    case 'empty':
      return emptyUnion(union, step.path)
    case 'chmod':
      return union.chmod(step.path, step.mode)
    case 'chown':
      return union.chown(step.path, step.uid, step.gid)
    case 'setModifiedAt':
      return union.setModifiedAt(step.path, { seconds: step.seconds, nanoseconds: 7 })
    case 'setXattr':
      return union.setXattr(step.path, step.key, valueOf(step.key))
    case 'removeXattr':
      return union.removeXattr(step.path, step.key)
    case 'write':
      return union.write(step.path, step.position, Buffer.from(step.text))
    case 'truncate':
      return union.truncate(step.path, step.size)
  }
}

/** @param root descriptor of the mounted tree */
export function runOnKernel(root: number, step: Operation): void {
  const at = <T>(path: string, use: (directory: number, name: string) => T): T => inParent(root, path, use)
  const { path } = step
  switch (step.do) {
    case 'create':
      return at(path, (directory, name) => create(directory, name, step.node))
    case 'link':
      // link(2) finds what there is before it looks where it goes.
      return at(path, (from, name) => {
        statAt(from, name)
        at(step.to, (to, newName) => linkAt(from, name, to, newName))
      })
    case 'rename':
      return at(path, (from, name) => at(step.to, (to, newName) => renameAt(from, name, to, newName)))
    case 'unlink':
      return at(path, (directory, name) => unlinkAt(directory, name))
    case 'removeDirectory':
      return at(path, (directory, name) => unlinkAt(directory, name, { directory: true }))
    case 'empty':
      return at(path, emptyKernel)
    case 'chmod':
      return at(path, (directory, name) => chmodAt(directory, name, step.mode))
    case 'chown':
      return at(path, (directory, name) => chownAt(directory, name, step.uid, step.gid))
    case 'setModifiedAt':
      return at(path, (directory, name) => setTimesAt(directory, name, { modifiedAt: { seconds: step.seconds, nanoseconds: 7 } }))
    case 'setXattr':
      return at(path, (directory, name) => setXattrAt(directory, name, { key: step.key, value: valueOf(step.key) }))
    case 'removeXattr':
      return at(path, (directory, name) => removeXattrAt(directory, name, step.key))
    case 'write':
      return at(path, (directory, name) => withFile(directory, name, fd => writeAll(fd, Buffer.from(step.text), step.position)))
    case 'truncate':
      return at(path, (directory, name) => withFile(directory, name, fd => truncate(fd, step.size)))
  }
}

function valueOf(key: string): Uint8Array {
  return key === 'security.capability' ? CAPABILITY : Buffer.from('value')
}

function inParent<T>(root: number, path: string, use: (directory: number, name: string) => T): T {
  const slash = path.lastIndexOf('/')
  const directory = openBeneath(root, slash === -1 ? '' : path.slice(0, slash), constants.O_RDONLY | constants.O_DIRECTORY)
  try {
    return use(directory, path === '' ? '.' : path.slice(slash + 1))
  } finally {
    close(directory)
  }
}

/** As mknod(2) and friends would with a umask of 0. */
function create(directory: number, name: string, node: NewNode): void {
  const umask = process.umask(0)
  try {
    if (node.type === 'directory') makeDirectoryAt(directory, name, node.mode)
    else if (node.type === 'symlink') symlinkAt(node.linkTarget, directory, name)
    else makeNodeAt(directory, name, node.type, { mode: node.mode, device: 'device' in node ? node.device : undefined })
  } finally {
    process.umask(umask)
  }
}

function withFile(directory: number, name: string, use: (fd: number) => void): void {
  const { type } = statAt(directory, name)
  // Opening would wait for a reader, or act on a device.
  if (!['file', 'directory', 'symlink'].includes(type)) throw Object.assign(new Error(type), { code: 'EINVAL' })
  const fd = openAt(directory, name, constants.O_WRONLY | constants.O_NOFOLLOW)
  try {
    use(fd)
  } finally {
    close(fd)
  }
}

/** Removes all that is in a directory and makes the directory anew, as an installer does that replaces a package. */
function emptyKernel(directory: number, name: string): void {
  const fd = openAt(directory, name, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW)
  try {
    for (const entry of readDirectory(fd)) {
      if (statAt(fd, entry.name).type === 'directory') emptyKernel(fd, entry.name)
      unlinkAt(fd, entry.name, { directory: statAt(fd, entry.name).type === 'directory' })
    }
  } finally {
    close(fd)
  }
  unlinkAt(directory, name, { directory: true })
  create(directory, name, { type: 'directory', mode: 0o700 })
}

async function emptyUnion(union: Union, path: string): Promise<void> {
  const node = await union.lstat(path)
  // Without a directory there, every way to ask gives the error of the walk.
  if (node?.type !== 'directory') return union.removeDirectory(path)
  for (const name of await union.list(path)) {
    const child = `${path}/${name}`
    if ((await union.lstat(child))?.type === 'directory') {
      await emptyUnion(union, child)
      await union.removeDirectory(child)
    } else await union.unlink(child)
  }
  await union.removeDirectory(path)
  await union.create(path, { type: 'directory', mode: 0o700 })
}
