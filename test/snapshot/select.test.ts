import assert from 'node:assert/strict'
import { mkdir, mkdtemp, readdir, stat, utimes } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, test } from 'node:test'
import { CURRENT_DIRECTORY, isMountPoint, kernelFacts, mount, removeTree, unmount } from '../../src/host/index.ts'
import { openDriver, selectDriver, tryDrivers } from '../../src/snapshot/index.ts'

const needsRoot = process.getuid?.() === 0 ? false : 'needs root: it mounts, and becomes another user'

describe('selectDriver() and tryDrivers()', () => {
  let root = ''

  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'strata-select-'))
  })

  afterEach(async () => {
    if (isMountPoint(root)) unmount(root, { detach: true })
    await removeTree(CURRENT_DIRECTORY, root)
  })

  test('chooses erofs where the kernel has it for this disk, else overlay2', { skip: needsRoot }, async () => {
    const disk = await mkdtemp('/var/tmp/strata-select-')
    try {
      const driver = await selectDriver(disk, undefined)
      const [erofs, ...others] = await tryDrivers(disk)
      // Images in files came with Linux 6.12.
      const { major, minor } = kernelFacts().version
      if (major > 6 || (major === 6 && minor >= 12)) assert.equal(erofs!.obstacle, undefined)
      else assert.match(erofs!.obstacle!, /need Linux 6\.12, and this is /)
      assert.equal(driver?.name, erofs!.obstacle === undefined ? 'erofs' : 'overlay2')
      assert.deepEqual(others, [
        { name: 'overlay2', obstacle: undefined },
        { name: 'vfs', obstacle: undefined },
      ])
      assert.deepEqual(await readdir(disk), [driver.name], 'trials leave nothing')
      assert.deepEqual(await readdir(join(disk, driver.name)), [])
      assert.equal((await stat(join(disk, driver.name))).mode & 0o7777, 0o700)
    } finally {
      await removeTree(CURRENT_DIRECTORY, disk)
    }
  })

  test('chooses overlay2 on a tmpfs, from which the kernel mounts no images', { skip: needsRoot }, async () => {
    mount({ type: 'tmpfs', source: 'tmpfs', options: [] }, root)
    assert.equal((await selectDriver(root, undefined))?.name, 'overlay2')
    const [erofs] = await tryDrivers(root)
    assert.equal(erofs!.name, 'erofs')
    assert.match(erofs!.obstacle!, /not from memory \(tmpfs\)|need Linux 6\.12|no EROFS/)
  })

  test('finds nothing wrong with a root that has colons, commas, spaces and backslashes in its name', { skip: needsRoot }, async () => {
    const disk = await mkdtemp('/var/tmp/strata-select-')
    try {
      const expected = await tryDrivers(disk)
      assert.equal(expected.find(({ name }) => name === 'overlay2')!.obstacle, undefined)
      assert.deepEqual(await tryDrivers(join(disk, 'a:b,c d\\e=f')), expected)
    } finally {
      await removeTree(CURRENT_DIRECTORY, disk)
    }
  })

  test('takes the driver that is asked for', { skip: needsRoot }, async () => {
    assert.equal((await selectDriver(root, 'vfs'))?.name, 'vfs')
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
    assert.equal((await selectDriver(root, undefined))?.name, 'vfs')
    const [erofs, overlay, vfs] = await tryDrivers(root)
    assert.match(overlay!.obstacle!, /an overlay does not work here|does not keep/)
    assert.equal(erofs!.obstacle, overlay!.obstacle)
    assert.equal(vfs!.obstacle, undefined)
    await assert.rejects(selectDriver(root, 'overlay2'), (error: Error & { kind: string; code: string }) => {
      assert.deepEqual([error.kind, error.code], ['unsupported', 'STRATA_DRIVER_UNAVAILABLE'])
      assert.match(error.message, /^Cannot use storage driver "overlay2": an? /)
      return true
    })
    assert.deepEqual(await readdir(root), ['vfs'])
  })

  test('refuses overlay2 where the upper directory would be on an overlay', { skip: needsRoot }, async () => {
    const place = await mkdtemp(join(tmpdir(), 'strata-select-lower-'))
    try {
      for (const name of ['lower', 'upper', 'work']) await mkdir(join(place, name))
      const options = [`lowerdir=${place}/lower`, `upperdir=${place}/upper`, `workdir=${place}/work`]
      mount({ type: 'overlay', source: 'overlay', options }, root)
      assert.equal((await selectDriver(root, undefined))?.name, 'vfs')
      assert.match((await tryDrivers(root))[0]!.obstacle!, /an overlay does not work here/)
      unmount(root, { detach: true })
    } finally {
      await removeTree(CURRENT_DIRECTORY, place)
    }
  })

  test('gives no driver to a user who is not root, and says that', { skip: needsRoot }, async () => {
    process.seteuid!(65534)
    try {
      assert.equal(await selectDriver(root, undefined), undefined)
      for (const { obstacle } of await tryDrivers(root)) assert.equal(obstacle, 'it needs root')
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
