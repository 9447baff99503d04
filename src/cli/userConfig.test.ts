import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import type { AttachedStreams, Engine, VolumeInspect } from '../engine/index.ts'
import { strata } from '../../test/cli/strataInTest.ts'

describe('config.json', () => {
  let directory: string
  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'strata-config-'))
  })
  after(() => rm(directory, { recursive: true, force: true }))

  const save = (text: string): Promise<void> => writeFile(join(directory, 'config.json'), text)
  const volume: VolumeInspect = {
    Name: 'v',
    Driver: 'local',
    Mountpoint: '/v',
    CreatedAt: '',
    Labels: null,
    Options: null,
    Scope: 'local',
  }
  const engine: Partial<Engine> = { containers: async () => [], volumes: async () => [volume], networks: async () => [] }
  const listed = (line: string): Promise<{ stdout: string; stderr: string; status: number }> =>
    strata(line, engine, { env: { DOCKER_CONFIG: directory } })

  test('has formats of lists, which --format and --quiet come before', async () => {
    await save(JSON.stringify({ volumesFormat: 'own {{.Name}}', psFormat: 'table {{.Names}}\\t{{.ID}}' }))
    assert.equal((await listed('volume ls')).stdout, 'own v\n')
    assert.equal((await listed('volume ls --format {{.Driver}}')).stdout, 'local\n')
    assert.equal((await listed('volume ls -q')).stdout, 'v\n')
    assert.equal((await listed('ps')).stdout, 'NAMES     CONTAINER ID\n')
    assert.match((await listed('network ls')).stdout, /^NETWORK ID/)
  })

  test('has the detach keys of terminals', async () => {
    await save(JSON.stringify({ detachKeys: 'ctrl-x' }))
    const seen: (string | undefined)[] = []
    const run = async (_options: unknown, streams?: AttachedStreams): Promise<Awaited<ReturnType<Engine['run']>>> => {
      seen.push(streams?.detachKeys)
      return { id: 'c', warnings: [], ended: Promise.resolve({ kind: 'exited', exitCode: 0 }) }
    }
    for (const line of ['run -t busybox', 'run -t --detach-keys ctrl-y busybox', 'run busybox']) {
      await strata(line, { run }, { env: { DOCKER_CONFIG: directory } })
    }
    assert.deepEqual(seen, ['ctrl-x', 'ctrl-y', undefined])
  })

  test('is complained of when it cannot be read, without a word of what is in it', async () => {
    await save('{ "auths": { "secret"')
    const { status, stdout, stderr } = await listed('volume ls')
    assert.deepEqual([status, stdout], [0, 'DRIVER    VOLUME NAME\nlocal     v\n'])
    assert.match(stderr, /^WARNING: Error loading config file: .*\/config\.json: it cannot be read, or is not JSON\n$/)
  })
})
