import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { openEngine } from './index.ts'

test('diskUsage() counts what is in volumes', { skip: process.getuid?.() === 0 ? false : 'volumes need root' }, async () => {
  const directory = await mkdtemp(join(tmpdir(), 'strata-usage-'))
  try {
    await using engine = await openEngine({ root: join(directory, 'root') })
    const { Mountpoint: place } = await engine.createVolume({ name: 'full' })
    await writeFile(join(place, 'file'), '12345')
    const { volumes } = await engine.diskUsage()
    assert.deepEqual(
      volumes.map(({ Name, UsageData }) => [Name, UsageData]),
      [['full', { Size: 5, RefCount: 0 }]],
    )
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
})

test('what a killed download has left counts as used, and as reclaimed when it is pruned', async () => {
  const root = await mkdtemp(join(tmpdir(), 'strata-usage-'))
  try {
    await using engine = await openEngine({ root })
    await mkdir(join(root, 'ingest'), { recursive: true })
    await writeFile(join(root, 'ingest', 'a'.repeat(64)), Buffer.alloc(1000))
    assert.equal((await engine.diskUsage()).interruptedBytes, 1000)
    assert.equal((await engine.pruneImages({ all: true })).reclaimedBytes, 1000)
    assert.equal((await engine.diskUsage()).interruptedBytes, 0)
  } finally {
    await rm(root, { recursive: true, force: true })
  }
})
