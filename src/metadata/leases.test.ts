import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, mock, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { Leases, type Metadata, openMetadata } from './index.ts'

const scratch = mkdtempSync(join(tmpdir(), 'strata-leases-'))
after(() => rmSync(scratch, { recursive: true, force: true }))

let databases = 0
function newMetadata(): Metadata {
  databases += 1
  return openMetadata(join(scratch, `${databases}.db`))
}

const BLOB = { kind: 'blob', id: 'sha256:1' }
const LAYER = { kind: 'layer', id: 'sha256:1' }

test('resources() is what all leases hold, each once, until they are released', async () => {
  using metadata = newMetadata()
  const leases = new Leases(metadata)
  const first = leases.create()
  {
    await using second = leases.create()
    first.add(BLOB)
    second.add(BLOB)
    second.add(BLOB)
    second.add(LAYER)
    assert.deepEqual(
      leases.resources().map(resource => ({ ...resource })),
      [BLOB, LAYER],
    )
  }
  assert.deepEqual(
    leases.resources().map(resource => ({ ...resource })),
    [BLOB],
  )
  first.release()
  first.release()
  assert.deepEqual(leases.resources(), [])
})

test('add() to a lease that has ended says so', () => {
  using metadata = newMetadata()
  const lease = new Leases(metadata).create()
  lease.release()
  assert.throws(() => lease.add(BLOB), { kind: 'conflict', code: 'STRATA_LEASE_ENDED' })
})

test('a lease holds nothing when its time is over', async () => {
  using metadata = newMetadata()
  const leases = new Leases(metadata)
  leases.create({ ttlMs: 30 }).add(BLOB)
  assert.equal(leases.resources().length, 1)
  await sleep(50)
  assert.equal(leases.resources().length, 0)
  leases.expire()
  assert.equal(metadata.all('SELECT * FROM leases').length, 0)
  assert.equal(metadata.all('SELECT * FROM lease_resources').length, 0)
})

test('hostile #70: a wall clock that jumps ends no lease of a running machine', () => {
  using metadata = newMetadata()
  const leases = new Leases(metadata)
  leases.create().add(BLOB)
  const jump = mock.method(Date, 'now', () => Date.UTC(2100, 0))
  try {
    leases.expire()
    assert.equal(leases.resources().length, 1)
  } finally {
    jump.mock.restore()
  }
})

test('a lease from before a reboot ends by the wall clock', () => {
  using metadata = newMetadata()
  const leases = new Leases(metadata)
  leases.create({ ttlMs: 3_600_000 }).add(BLOB)
  metadata.run("UPDATE leases SET boot_id = 'an earlier boot', expires_uptime = 0")
  assert.equal(leases.resources().length, 1)
  metadata.run('UPDATE leases SET expires_at = ?', Date.now() - 1)
  assert.equal(leases.resources().length, 0)
})

test('hostile #71: endAbandoned() ends the leases of processes that are gone, and of no other', async () => {
  using metadata = newMetadata()
  const leases = new Leases(metadata)
  leases.create().add(BLOB)
  const program = `
    import { Leases, openMetadata } from ${JSON.stringify(new URL('index.ts', import.meta.url).href)}
    const leases = new Leases(openMetadata(${JSON.stringify(metadata.path)}))
    leases.create().add(${JSON.stringify(LAYER)})
    console.log('held')
    setInterval(() => undefined, 1000)`
  const other = spawn(process.execPath, ['--input-type=module', '--disable-warning=ExperimentalWarning', '-e', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const ended = once(other, 'exit')
  await once(other.stdout, 'data')
  const held = (): readonly string[] => leases.resources().map(({ kind }) => kind)
  leases.endAbandoned()
  assert.deepEqual(held().toSorted(), ['blob', 'layer'], 'both live')
  other.kill('SIGKILL')
  await ended
  leases.expire()
  assert.deepEqual(held().toSorted(), ['blob', 'layer'], 'a pull that was killed can be taken up again')
  leases.endAbandoned()
  assert.deepEqual(held(), ['blob'])
  assert.equal(metadata.all('SELECT * FROM lease_resources').length, 1)
})
