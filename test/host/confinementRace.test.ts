import assert from 'node:assert/strict'
import { existsSync, lstatSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { Worker } from 'node:worker_threads'
import { errnoOf } from '../../src/base/index.ts'
import { close, ConfinedRoot, readInto, removeTreeAt, openDirectoryAt, CURRENT_DIRECTORY, writeAll } from '../../src/host/index.ts'

/*
 * hostile #3, #42: somebody in the image exchanges a directory for a link to the outside, as fast as
 * a core can, while we work below it. Of every operation only two ends are right: it hit a place
 * inside the root, or it failed.
 */

const host = new URL('../../src/host/index.ts', import.meta.url).href

/** Exchanges `image/dir` and `image/trap` until it is told to stop; counts how often. */
const RACER = `
  import(${JSON.stringify(host)}).then(host => {
    const { workerData } = require('node:worker_threads')
    const state = new Int32Array(workerData.state)
    const directory = host.openDirectoryAt(host.CURRENT_DIRECTORY, workerData.image)
    while (Atomics.load(state, 0) === 0) {
      try {
        host.renameAt(directory, 'dir', directory, 'trap', 'exchange')
        Atomics.add(state, 1, 1)
      } catch (error) {
        if (error.code !== 'ENOENT') throw error
      }
    }
    host.close(directory)
  })`

const scratch = mkdtempSync(join(tmpdir(), 'strata-host-race-'))
const image = join(scratch, 'image')
const outside = join(scratch, 'outside')
const state = new Int32Array(new SharedArrayBuffer(8))
let racer: Worker
let root: ConfinedRoot

/** Runs for a while and at least `least` times; the tries that failed are counted by their errno. */
function hammer(least: number, milliseconds: number, attempt: (turn: number) => void): Map<string, number> {
  const ends = new Map<string, number>()
  const until = Date.now() + milliseconds
  for (let turn = 0; turn < least || Date.now() < until; turn += 1) {
    let end = 'done'
    try {
      attempt(turn)
    } catch (error) {
      const code = errnoOf(error)
      if (code === undefined) throw error
      end = code
    }
    ends.set(end, (ends.get(end) ?? 0) + 1)
  }
  return ends
}

const outsideState = (): unknown =>
  readdirSync(outside)
    .sort()
    .map(name => {
      const path = join(outside, name)
      const { mode, uid, mtimeMs, nlink, size } = lstatSync(path)
      return [name, mode, uid, mtimeMs, nlink, size]
    })

function assertRaced(ends: Map<string, number>): void {
  assert.ok((ends.get('done') ?? 0) > 50, `both ends were seen: ${JSON.stringify([...ends])}`)
  assert.ok(
    [...ends.keys()].some(end => end !== 'done'),
    `both ends were seen: ${JSON.stringify([...ends])}`,
  )
}

describe('ConfinedRoot against a process that swaps a directory for a link', () => {
  before(async () => {
    mkdirSync(join(image, 'dir'), { recursive: true })
    mkdirSync(outside)
    writeFileSync(join(image, 'dir', 'file'), 'inside')
    writeFileSync(join(outside, 'file'), 'outside', { mode: 0o600 })
    symlinkSync(outside, join(image, 'trap'))
    root = new ConfinedRoot(image)
    racer = new Worker(RACER, { eval: true, workerData: { state: state.buffer, image } })
    while (Atomics.load(state, 1) < 100) await new Promise(resolve => setTimeout(resolve, 5))
  })

  after(async () => {
    const ended = new Promise(resolve => racer.once('exit', resolve))
    Atomics.store(state, 0, 1)
    await ended
    root.close()
    rmSync(scratch, { recursive: true })
  })

  test('the race is real: a path that Node opens gets out', () => {
    let escapes = 0
    for (let turn = 0; turn < 200_000 && escapes === 0; turn += 1) {
      if (readFileSync(join(image, 'dir', 'file'), 'utf8') === 'outside') escapes += 1
    }
    assert.equal(escapes, 1)
  })

  test('hostile #3: files, links, directories and nodes are never made outside', () => {
    const unchanged = outsideState()
    const ends = hammer(8000, 2000, turn => {
      const name = `dir/made-${turn % 40}`
      switch (turn % 5) {
        case 0: {
          const fd = root.createFile(name, 0o644)
          writeAll(fd, Buffer.from('x'))
          close(fd)
          break
        }
        case 1:
          root.makeDirectories(`${name}/below/that`, 0o755)
          break
        case 2:
          root.symlink('/anything', name)
          break
        case 3:
          root.makeNode(name, 'fifo', { mode: 0o600 })
          break
        default:
          root.removeTree(`dir/made-${(turn * 7) % 40}`)
          root.link('dir/file', name)
      }
    })
    assertRaced(ends)
    assert.deepEqual(outsideState(), unchanged)
  })

  test('hostile #4, #44: attributes outside are never changed', () => {
    const unchanged = outsideState()
    const ends = hammer(8000, 1500, turn => {
      if (turn % 4 === 0) root.chmod('dir/file', 0o640 + (turn % 8))
      else if (turn % 4 === 1) root.setTimes('dir/file', { modifiedAt: { seconds: turn, nanoseconds: 1 } })
      else if (turn % 4 === 2) root.setXattr('dir/file', 'user.turn', Buffer.from([turn % 256]))
      else if (process.getuid?.() === 0) root.chown('dir/file', turn % 100, 3)
    })
    assertRaced(ends)
    assert.deepEqual(outsideState(), unchanged)
  })

  test('hostile #42: what is read is never the outside', () => {
    const buffer = Buffer.alloc(20)
    // Any rename during a walk up makes the kernel say EAGAIN, since it can no longer vouch for the `..`.
    root.makeDirectory('still', 0o755)
    const winding = `${'still/../'.repeat(30)}dir/file`
    const ends = hammer(20_000, 2000, turn => {
      const fd = root.openFile(turn % 2 === 0 ? 'dir/file' : winding)
      const text = buffer.toString('utf8', 0, readInto(fd, buffer))
      close(fd)
      assert.equal(text, 'inside')
    })
    assertRaced(ends)
    assert.equal(ends.get('EAGAIN'), undefined, 'the kernel’s “look again” is not handed on')
  })

  test('renames and removals never take anything away outside', () => {
    const unchanged = outsideState()
    const ends = hammer(8000, 2000, turn => {
      if (turn % 3 === 0) root.makeDirectories('dir/tree/a/b', 0o755)
      else if (turn % 3 === 1) root.rename('dir/tree', turn % 2 === 0 ? 'aside' : 'dir/tree-2')
      else for (const name of ['dir/tree', 'dir/tree-2', 'aside']) root.removeTree(name)
    })
    assertRaced(ends)
    assert.deepEqual(outsideState(), unchanged)
  })

  test('removeTreeAt() of a tree whose directories become links removes nothing behind them', () => {
    const unchanged = outsideState()
    const directory = openDirectoryAt(CURRENT_DIRECTORY, image)
    for (let turn = 0; turn < 3000; turn += 1) {
      // The racer keeps exchanging the two names; whichever is the directory goes, the other is a link that goes.
      try {
        removeTreeAt(directory, 'dir')
      } catch (error) {
        assert.ok(['ENOTEMPTY', 'ENOTDIR', 'EISDIR', 'ELOOP'].includes(errnoOf(error) ?? ''), String(error))
      }
      assert.ok(existsSync(join(outside, 'file')))
      for (const name of ['dir', 'trap']) {
        try {
          if (turn % 2 === (name === 'dir' ? 0 : 1)) root.symlink(outside, name)
          else root.makeDirectories(`${name}/file`, 0o755)
        } catch (error) {
          assert.equal(typeof errnoOf(error), 'string')
        }
      }
    }
    close(directory)
    assert.deepEqual(outsideState(), unchanged)
  })
})
