import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { openEngine } from '../../src/engine/index.ts'
import { selectDriver } from '../../src/snapshot/index.ts'

const skip = process.getuid?.() === 0 ? false : 'needs root: no storage driver works without it'

test(
  'info() says which storage driver is used and why, and whether the others work; a store keeps the one that it was made with',
  { skip },
  async () => {
    // Not in /tmp, which may be a tmpfs (Debian 13): EROFS mounts no file of one.
    const place = await mkdtemp('/var/tmp/strata-info-')
    try {
      const statusOf = async (root: string, storageDriver?: string): Promise<readonly (readonly [string, string])[]> => {
        await using engine = await openEngine({ root: join(place, root), ...(storageDriver === undefined ? {} : { storageDriver }) })
        const { Driver, DriverStatus } = await engine.info()
        assert.deepEqual(
          DriverStatus.filter(([, state]) => state.includes('used because')).map(([name]) => name),
          [Driver],
        )
        return DriverStatus
      }
      const best = (await selectDriver(join(place, 'trial'), undefined))!.name
      assert.equal(new Map(await statusOf('new')).get(best), 'available, used because it is the best that works here')

      assert.equal(new Map(await statusOf('old', 'vfs')).get('vfs'), 'available, used because it is asked for')
      const old = new Map(await statusOf('old'))
      assert.equal(old.get('vfs'), 'available, used because the store was made with it')
      assert.equal(old.get(best), 'available')
    } finally {
      await rm(place, { recursive: true, force: true })
    }
  },
)
