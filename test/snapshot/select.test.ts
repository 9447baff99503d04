import assert from 'node:assert/strict'
import { mkdir, mkdtemp, readdir, stat, utimes } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, test } from 'node:test'
import { CURRENT_DIRECTORY, isMountPoint, mount, removeTree, unmount } from '../../src/host/index.ts'
import { openDriver, selectDriver } from '../../src/snapshot/index.ts'

const needsRoot = process.getuid?.() === 0 ? false : 'needs root: it mounts, and becomes another user'

describe('selectDriver()', () => {
  let root = ''

  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'strata-select-'))
  })

  afterEach(async () => {
    if (isMountPoint(root)) unmount(root, { detach: true })
    await removeTree(CURRENT_DIRECTORY, root)
  })

  test('chooses erofs where the kernel has it, else overlay2, and says why', { skip: needsRoot }, async () => {
    const { driver, fitness } = await selectDriver(root, undefined)
    const [first, ...others] = fitness
    // Images in files came with Linux 6.12.
    if (first!.available) assert.equal(driver?.name, 'erofs')
    else {
      assert.equal(driver?.name, 'overlay2')
      assert.match(first!.reason, /they need Linux 6\.12/)
    }
    assert.deepEqual(
      others.map(({ name, available }) => [name, available]),
      [
        ['overlay2', true],
        ['vfs', true],
      ],
    )
    assert.deepEqual(await readdir(join(root, driver.name)), [], 'the trial leaves nothing')
    assert.equal((await stat(join(root, driver.name))).mode & 0o7777, 0o700)
  })

  test('takes the driver that is asked for', { skip: needsRoot }, async () => {
    const { driver, fitness } = await selectDriver(root, 'vfs')
    assert.equal(driver?.name, 'vfs')
    assert.match(fitness.find(({ name }) => name === 'overlay2')!.reason, /vfs is asked for/)
  })

  test('refuses a name that no driver has, and names those that there are', async () => {
    await assert.rejects(selectDriver(root, 'btrfsx'), (error: Error & { kind: string; code: string; hint: string }) => {
      assert.deepEqual([error.kind, error.code], ['invalidArgument', 'STRATA_NO_SUCH_DRIVER'])
      assert.match(error.hint, /erofs, overlay2, vfs/)
      return true
    })
    assert.equal(await openDriver(root, 'btrfsx'), undefined)
  })

  // A ramfs has no extended attributes, so no directory can be opaque, and the mount alone succeeds.
  test('takes vfs where the disk cannot hold an overlay, and refuses overlay2 there', { skip: needsRoot }, async () => {
    mount({ type: 'ramfs', source: 'ramfs', options: [] }, root)
    const { driver, fitness } = await selectDriver(root, undefined)
    assert.equal(driver?.name, 'vfs')
    const overlay = fitness.find(({ name }) => name === 'overlay2')!
    assert.equal(overlay.available, false)
    await assert.rejects(selectDriver(root, 'overlay2'), (error: Error & { kind: string; code: string }) => {
      assert.deepEqual([error.kind, error.code], ['unsupported', 'STRATA_DRIVER_UNAVAILABLE'])
      assert.match(error.message, /^Cannot use storage driver "overlay2": an? /)
      return true
    })
    assert.deepEqual(await readdir(join(root, 'overlay2')), [])
  })

  test('refuses overlay2 where the upper directory would be on an overlay', { skip: needsRoot }, async () => {
    const place = await mkdtemp(join(tmpdir(), 'strata-select-lower-'))
    try {
      for (const name of ['lower', 'upper', 'work']) await mkdir(join(place, name))
      const options = [`lowerdir=${place}/lower`, `upperdir=${place}/upper`, `workdir=${place}/work`]
      mount({ type: 'overlay', source: 'overlay', options }, root)
      const { driver, fitness } = await selectDriver(root, undefined)
      assert.equal(driver?.name, 'vfs')
      assert.match(fitness[0]!.reason, /an overlay does not work here/)
      unmount(root, { detach: true })
    } finally {
      await removeTree(CURRENT_DIRECTORY, place)
    }
  })

  test('gives no driver to a user who is not root, and says that', { skip: needsRoot }, async () => {
    process.seteuid!(65534)
    try {
      const { driver, fitness } = await selectDriver(root, undefined)
      assert.equal(driver, undefined)
      for (const { available, reason } of fitness) assert.deepEqual([available, reason], [false, 'it needs root'])
      await assert.rejects(selectDriver(root, 'overlay2'), { kind: 'unsupported', message: /it needs root/ })
      assert.equal(await openDriver(root, 'overlay2'), undefined)
    } finally {
      process.seteuid!(0)
    }
  })

  test('removes trials that a crash left, and leaves those of others alone', { skip: needsRoot }, async () => {
    const [old, young] = [join(root, 'overlay2/trial-old'), join(root, 'overlay2/trial-new')]
    for (const path of [old, young]) await mkdir(join(path, 'merged'), { recursive: true })
    mount({ type: 'tmpfs', source: 'tmpfs', options: [] }, join(old, 'merged'))
    await utimes(old, 0, 0)
    await selectDriver(root, 'overlay2')
    assert.deepEqual(await readdir(join(root, 'overlay2')), ['trial-new'])
  })
})
