import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { storedFiles } from '../support/storeCheck.ts'
import { Served } from './served.ts'

const MINUTE_MS = 60_000

const filesOf = (served: Served): readonly string[] => storedFiles(join(served.root, 'root'))
const begin = async (served: Served): Promise<string> =>
  (await served.must(202, 'POST', '/v2/team/app/blobs/uploads/')).headers.get('location')!

/** Resolves when a request has this status, soon. */
async function untilStatus(served: Served, path: string, status: number): Promise<void> {
  for (let tries = 0; (await served.request('GET', path)).status !== status; tries += 1) {
    assert.ok(tries < 100, `${path} has never status ${status}`)
    await sleep(10)
  }
}

test('an upload to which nobody has sent anything ends after a minute, and one that has something after an hour', async t => {
  t.mock.timers.enable({ apis: ['setInterval', 'Date'], now: Date.now() })
  await using served = await Served.start({ writable: true })
  const [empty, partly] = [await begin(served), await begin(served)]
  await served.must(202, 'PATCH', partly, { body: 'some' })
  t.mock.timers.tick(0.5 * MINUTE_MS)
  await sleep(50)
  await served.must(204, 'GET', empty)
  t.mock.timers.tick(MINUTE_MS)
  await untilStatus(served, empty, 404)
  await served.must(204, 'GET', partly)
  t.mock.timers.tick(61 * MINUTE_MS)
  await untilStatus(served, partly, 404)
  assert.deepEqual(filesOf(served), [])
})

test('a blob that no manifest names is given up an hour after anything was pushed to its repository', async t => {
  t.mock.timers.enable({ apis: ['setInterval', 'Date'], now: Date.now() })
  await using served = await Served.start({ writable: true })
  const { digest } = await served.blob('team/app', Buffer.from('one'))
  const path = `/v2/team/app/blobs/${digest}`
  t.mock.timers.tick(50 * MINUTE_MS)
  const second = await served.blob('team/app', Buffer.from('two'))
  t.mock.timers.tick(50 * MINUTE_MS)
  await served.engine.pruneImages()
  await served.must(200, 'GET', path)
  t.mock.timers.tick(12 * MINUTE_MS)
  await served.must(404, 'GET', path)
  await served.must(404, 'GET', `/v2/team/app/blobs/${second.digest}`)
  await served.engine.pruneImages()
  assert.deepEqual(filesOf(served), [])
})

test('a manifest that was pushed by its digest alone waits a day for the index that names it', async t => {
  t.mock.timers.enable({ apis: ['setInterval', 'Date'], now: Date.now() })
  await using served = await Served.start({ writable: true })
  const { digest } = await served.artifact('team/app', 'text')
  const path = `/v2/team/app/manifests/${digest}`
  t.mock.timers.tick(23 * 60 * MINUTE_MS)
  await served.engine.pruneImages({ all: true })
  await served.must(200, 'GET', path)
  t.mock.timers.tick(2 * 60 * MINUTE_MS)
  await served.engine.pruneImages({ all: true })
  await served.must(404, 'GET', path)
  assert.deepEqual(filesOf(served), [])
})
