import assert from 'node:assert/strict'
import {
  appendFileSync,
  chmodSync,
  chownSync,
  lchownSync,
  linkSync,
  mkdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { runProgram } from '../../base/index.ts'
import {
  close,
  CURRENT_DIRECTORY,
  makeNodeAt,
  openDirectoryAt,
  readDirectory,
  removeTreeAt,
  removeXattrAt,
  setTimesAt,
  setXattrAt,
} from '../../host/index.ts'
import { changesOf, type Picture, pictureOf, pictureOfDirectory, shapeOf } from './picture.ts'
import { type Cases, commitChanged, mounted, type Subject } from './subject.ts'

/** What is done in a mounted state on top of another, and what comes of it. */
interface Scenario {
  /** Makes what is below. */
  readonly base?: (at: At) => void
  readonly change: (at: At) => void | Promise<void>
  /** As docker diff prints them. */
  readonly changes: readonly string[]
  /** What must be seen; nothing else may be. */
  readonly shape?: Picture
}

/** A path of the mounted state as a path of the machine. */
type At = (path?: string) => string

const TIME = { seconds: -123_456_789, nanoseconds: 123_456_789 } as const

const touch = (path: string, modifiedAt = TIME): void => setTimesAt(CURRENT_DIRECTORY, path, { modifiedAt })

/** A directory with a file in it, as many scenarios begin. */
function directoryWithFile(at: At): void {
  mkdirSync(at('d'))
  writeFileSync(at('d/f'), 'old')
  touch(at('d'))
}

const SCENARIOS: Readonly<Record<string, Scenario>> = {
  'a state without changes': { base: directoryWithFile, change() {}, changes: [], shape: { d: 'directory', 'd/f': 'file old' } },

  'new files, directories, symlinks, FIFOs, sockets and devices': {
    change(at) {
      mkdirSync(at('d/e'), { recursive: true, mode: 0o700 })
      writeFileSync(at('d/e/f'), 'f', { mode: 0o640 })
      symlinkSync('/nowhere/../d', at('l'))
      makeNodeAt(CURRENT_DIRECTORY, at('fifo'), 'fifo', { mode: 0o600 })
      makeNodeAt(CURRENT_DIRECTORY, at('null'), 'character', { mode: 0o666, device: { major: 1, minor: 3 } })
      makeNodeAt(CURRENT_DIRECTORY, at('disk'), 'block', { mode: 0o660, device: { major: 259, minor: 70_000 } })
      makeNodeAt(CURRENT_DIRECTORY, at('socket'), 'socket', { mode: 0o600 })
    },
    changes: ['A /d', 'A /d/e', 'A /d/e/f', 'A /disk', 'A /fifo', 'A /l', 'A /null', 'A /socket'],
    shape: {
      d: 'directory',
      'd/e': 'directory',
      'd/e/f': 'file f',
      l: 'symlink /nowhere/../d',
      fifo: 'fifo',
      null: 'character 1:3',
      disk: 'block 259:70000',
      socket: 'socket',
    },
  },

  'a removed file': {
    base: directoryWithFile,
    change: at => unlinkSync(at('d/f')),
    changes: ['C /d', 'D /d/f'],
    shape: { d: 'directory' },
  },

  'a removed directory': {
    base: directoryWithFile,
    change: at => rmSync(at('d'), { recursive: true }),
    changes: ['D /d'],
    shape: {},
  },

  'a removed symlink, whose target stays': {
    base(at) {
      directoryWithFile(at)
      symlinkSync('d', at('l'))
    },
    change: at => unlinkSync(at('l')),
    changes: ['D /l'],
    shape: { d: 'directory', 'd/f': 'file old' },
  },

  'a removed device, which is no whiteout of anything': {
    base: at => makeNodeAt(CURRENT_DIRECTORY, at('null'), 'character', { mode: 0o666, device: { major: 1, minor: 3 } }),
    change: at => unlinkSync(at('null')),
    changes: ['D /null'],
    shape: {},
  },

  // docker/docker#25244: the old children must not come back.
  'a directory that is removed and made anew is empty': {
    base(at) {
      directoryWithFile(at)
      mkdirSync(at('d/sub'))
      writeFileSync(at('d/sub/deep'), 'old')
    },
    change(at) {
      rmSync(at('d'), { recursive: true })
      mkdirSync(at('d'))
      writeFileSync(at('d/new'), 'new')
    },
    changes: ['C /d', 'D /d/f', 'A /d/new', 'D /d/sub'],
    shape: { d: 'directory', 'd/new': 'file new' },
  },

  'a directory inside one that is removed and made anew': {
    base(at) {
      mkdirSync(at('d/sub'), { recursive: true })
      writeFileSync(at('d/sub/old'), '')
    },
    change(at) {
      rmSync(at('d'), { recursive: true })
      mkdirSync(at('d/sub'), { recursive: true })
    },
    changes: ['C /d', 'C /d/sub', 'D /d/sub/old'],
    shape: { d: 'directory', 'd/sub': 'directory' },
  },

  'a file that is removed and made anew': {
    base: directoryWithFile,
    change(at) {
      unlinkSync(at('d/f'))
      writeFileSync(at('d/f'), 'new')
    },
    changes: ['C /d', 'C /d/f'],
    shape: { d: 'directory', 'd/f': 'file new' },
  },

  'directory, file and symlink become each other': {
    base(at) {
      for (const name of ['d1', 'd2']) {
        mkdirSync(at(name))
        writeFileSync(at(`${name}/old`), '')
      }
      for (const name of ['f1', 'f2']) writeFileSync(at(name), 'file')
      for (const name of ['l1', 'l2']) symlinkSync('d1', at(name))
    },
    change(at) {
      for (const name of ['d1', 'd2', 'f1', 'f2', 'l1', 'l2']) rmSync(at(name), { recursive: true })
      writeFileSync(at('d1'), 'was a directory')
      symlinkSync('f1', at('d2'))
      mkdirSync(at('f1'))
      writeFileSync(at('f1/new'), '')
      symlinkSync('f1', at('f2'))
      mkdirSync(at('l1'))
      writeFileSync(at('l2'), 'was a symlink')
    },
    changes: ['C /d1', 'C /d2', 'C /f1', 'A /f1/new', 'C /f2', 'C /l1', 'C /l2'],
    shape: {
      d1: 'file was a directory',
      d2: 'symlink f1',
      f1: 'directory',
      'f1/new': 'file',
      f2: 'symlink f1',
      l1: 'directory',
      l2: 'file was a symlink',
    },
  },

  'content that is overwritten, appended to, cut off and emptied': {
    base(at) {
      for (const name of ['over', 'append', 'cut', 'empty']) writeFileSync(at(name), 'x'.repeat(100))
    },
    change(at) {
      writeFileSync(at('over'), 'y')
      appendFileSync(at('append'), 'y')
      truncateSync(at('cut'), 3)
      truncateSync(at('empty'))
    },
    changes: ['C /append', 'C /cut', 'C /empty', 'C /over'],
    shape: { over: 'file y', append: `file ${'x'.repeat(100)}y`, cut: 'file xxx', empty: 'file' },
  },

  'a large file with holes': {
    base(at) {
      writeFileSync(at('sparse'), 'start')
      truncateSync(at('sparse'), 30_000_000)
    },
    change: at => truncateSync(at('sparse'), 40_000_000),
    changes: ['C /sparse'],
  },

  'modes, owners, xattrs and times': {
    base(at) {
      mkdirSync(at('d'))
      for (const name of ['mode', 'owner', 'xattr', 'less', 'time', 'capability']) writeFileSync(at(name), name)
      setXattrAt(CURRENT_DIRECTORY, at('less'), { key: 'user.gone', value: Buffer.of(1) })
      symlinkSync('mode', at('l'))
    },
    change(at) {
      chmodSync(at('mode'), 0o6751)
      chownSync(at('owner'), 1000, 4_000_000_000)
      setXattrAt(CURRENT_DIRECTORY, at('xattr'), { key: 'user.binary', value: Buffer.of(0, 255, 10) })
      removeXattrAt(CURRENT_DIRECTORY, at('less'), 'user.gone')
      touch(at('time'))
      const capability = Buffer.from('0100000200040000000000000000000000000000', 'hex')
      setXattrAt(CURRENT_DIRECTORY, at('capability'), { key: 'security.capability', value: capability })
      lchownSync(at('l'), 5, 6)
      touch(at('l'))
      chmodSync(at('d'), 0o1777)
      setXattrAt(CURRENT_DIRECTORY, at('d'), { key: 'trusted.ours', value: Buffer.from('x') })
    },
    changes: ['C /capability', 'C /d', 'C /l', 'C /less', 'C /mode', 'C /owner', 'C /time', 'C /xattr'],
  },

  'the root itself': {
    base: directoryWithFile,
    change(at) {
      chmodSync(at(), 0o711)
      chownSync(at(), 1, 2)
      setXattrAt(CURRENT_DIRECTORY, at(), { key: 'user.root', value: Buffer.from('x') })
    },
    changes: ['C /'],
    shape: { d: 'directory', 'd/f': 'file old' },
  },

  'what is changed and changed back is no change': {
    base(at) {
      directoryWithFile(at)
      touch(at('d/f'))
    },
    change(at) {
      chmodSync(at('d/f'), 0o600)
      chmodSync(at('d/f'), 0o644)
      writeFileSync(at('d/f'), 'old')
      writeFileSync(at('d/g'), 'new')
      unlinkSync(at('d/g'))
      touch(at('d/f'))
      touch(at('d'))
    },
    changes: [],
    shape: { d: 'directory', 'd/f': 'file old' },
  },

  'hard links inside the state': {
    change(at) {
      mkdirSync(at('d'))
      writeFileSync(at('a'), 'x')
      linkSync(at('a'), at('d/b'))
      linkSync(at('a'), at('c'))
      symlinkSync('a', at('l1'))
      linkSync(at('l1'), at('l2'))
    },
    changes: ['A /a', 'A /c', 'A /d', 'A /d/b', 'A /l1', 'A /l2'],
    shape: {
      d: 'directory',
      a: 'file x = a = c = d/b',
      c: 'file x = a = c = d/b',
      'd/b': 'file x = a = c = d/b',
      l1: 'symlink a = l1 = l2',
      l2: 'symlink a = l1 = l2',
    },
  },

  'a hard link to a file below': {
    base: directoryWithFile,
    change: at => linkSync(at('d/f'), at('link')),
    changes: ['C /d', 'C /d/f', 'A /link'],
    shape: { d: 'directory', 'd/f': 'file old = d/f = link', link: 'file old = d/f = link' },
  },

  'hard links below, of which nothing is changed': {
    base(at) {
      writeFileSync(at('a'), 'x')
      linkSync(at('a'), at('b'))
    },
    change: at => writeFileSync(at('c'), ''),
    changes: ['A /c'],
    shape: { a: 'file x = a = b', b: 'file x = a = b', c: 'file' },
  },

  'one of three hard links below is removed': {
    base(at) {
      writeFileSync(at('a'), 'x')
      linkSync(at('a'), at('b'))
      linkSync(at('a'), at('c'))
    },
    change: at => unlinkSync(at('a')),
    changes: ['D /a'],
    shape: { b: 'file x = b = c', c: 'file x = b = c' },
  },

  'of two hard links below, one goes with its directory': {
    base(at) {
      for (const directory of ['a', 'b']) {
        mkdirSync(at(directory))
        writeFileSync(at(`${directory}/f`), directory)
        linkSync(at(`${directory}/f`), at(`link ${directory}`))
      }
    },
    change(at) {
      rmSync(at('a'), { recursive: true })
      rmSync(at('b'), { recursive: true })
      writeFileSync(at('b'), 'now a file')
    },
    changes: ['D /a', 'C /b'],
    shape: { b: 'file now a file', 'link a': 'file a', 'link b': 'file b' },
  },

  'a hard link below is replaced by a file of its own': {
    base(at) {
      writeFileSync(at('a'), 'x')
      linkSync(at('a'), at('b'))
    },
    change(at) {
      unlinkSync(at('b'))
      writeFileSync(at('b'), 'y')
    },
    changes: ['C /b'],
    shape: { a: 'file x', b: 'file y' },
  },

  'renamed files, also onto others': {
    base(at) {
      directoryWithFile(at)
      writeFileSync(at('a'), 'a')
      writeFileSync(at('b'), 'b')
    },
    change(at) {
      renameSync(at('d/f'), at('moved'))
      renameSync(at('a'), at('b'))
    },
    changes: ['D /a', 'C /b', 'C /d', 'D /d/f', 'A /moved'],
    shape: { b: 'file a', d: 'directory', moved: 'file old' },
  },

  'renamed directories, of this state and from below': {
    base(at) {
      directoryWithFile(at)
      mkdirSync(at('d/empty'))
    },
    async change(at) {
      mkdirSync(at('new'))
      writeFileSync(at('new/n'), 'n')
      renameSync(at('new'), at('newer'))
      // Not every file system renames a directory from below; mv does what a user would do then.
      await runProgram('mv', [at('d'), at('moved')])
    },
    changes: ['D /d', 'A /moved', 'A /moved/empty', 'A /moved/f', 'A /newer', 'A /newer/n'],
    shape: { moved: 'directory', 'moved/empty': 'directory', 'moved/f': 'file old', newer: 'directory', 'newer/n': 'file n' },
  },

  'a directory that takes the place of a removed one': {
    base(at) {
      directoryWithFile(at)
      mkdirSync(at('e'))
    },
    change(at) {
      rmSync(at('d'), { recursive: true })
      mkdirSync(at('fresh'))
      writeFileSync(at('fresh/n'), 'n')
      renameSync(at('fresh'), at('d'))
    },
    changes: ['C /d', 'D /d/f', 'A /d/n'],
    shape: { d: 'directory', 'd/n': 'file n', e: 'directory' },
  },

  'names of any bytes': {
    base: at => writeFileSync(at('plain'), ''),
    change(at) {
      for (const bytes of [Buffer.of(0xff, 0xfe), ...['new\nline', ' \\"\'', '\u00e9', 'e\u0301'].map(name => Buffer.from(name))]) {
        writeFileSync(Buffer.concat([Buffer.from(`${at()}/`), bytes]), bytes)
      }
    },
    changes: ['A / \\"\'', 'A /e\u0301', 'A /new\nline', 'A /\u00e9', 'A /\udcff\udcfe'],
  },
}

async function run(subject: Subject, { base, change, changes, shape }: Scenario): Promise<void> {
  const { snapshots, scratch } = subject
  const inside =
    (work: (at: At) => void | Promise<void>) =>
    (directory: string): void | Promise<void> =>
      work((path = '') => join(directory, path))
  await commitChanged(subject, 'base', { change: inside(base ?? (() => undefined)) })
  const below = await pictureOf(snapshots, 'base')

  let shown: Picture = {}
  await mounted(scratch, await snapshots.prepare('key', 'base'), async directory => {
    await inside(change)(directory)
    shown = await pictureOfDirectory(directory)
  })
  assert.deepEqual(await pictureOf(snapshots, 'key'), shown, 'tree() shows the active state as it was mounted')
  if (shape !== undefined) assert.deepEqual(await shapeOf(snapshots, 'key'), shape)
  assert.deepEqual((await changesOf(snapshots, 'key')).toSorted(), changes.toSorted(), 'changes() of the active state')

  await snapshots.commit('changed', 'key')
  assert.deepEqual(await pictureOf(snapshots, 'changed'), shown, 'commit() keeps everything')
  assert.deepEqual((await changesOf(snapshots, 'changed')).toSorted(), changes.toSorted(), 'changes() of the committed state')
  await mounted(scratch, await snapshots.view('view', 'changed'), async directory => {
    assert.deepEqual(await pictureOfDirectory(directory), shown, 'a view shows the committed state')
  })
  await mounted(scratch, await snapshots.prepare('above', 'changed'), async directory => {
    assert.deepEqual(await pictureOfDirectory(directory), shown, 'the state above begins as its parent')
    emptyDirectory(directory)
  })
  assert.deepEqual(await shapeOf(snapshots, 'above'), {})
  assert.deepEqual(await pictureOf(snapshots, 'changed'), shown, 'a committed state never changes')
  assert.deepEqual(await pictureOf(snapshots, 'base'), below, 'the parent never changes')
}

function emptyDirectory(path: string): void {
  const fd = openDirectoryAt(CURRENT_DIRECTORY, path)
  try {
    for (const { name } of readDirectory(fd)) removeTreeAt(fd, name)
  } finally {
    close(fd)
  }
}

/** What is written through the mounts of an active state, and what the states then show. */
export const CHANGE_CASES: Cases = Object.fromEntries(
  Object.entries(SCENARIOS).map(([title, scenario]) => [`shows and keeps: ${title}`, subject => run(subject, scenario)]),
)
