import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { errnoOf } from '../../src/base/index.ts'
import { openNetworks, parsePublish } from '../../src/network/index.ts'
import { freePorts, NETWORK, newId, whyNot } from './machine.ts'

const reason = await whyNot()

describe('A connection that was killed', { skip: reason, timeout: 60_000 }, () => {
  // From before the record to after the last rule: a connect takes 60 to 200 ms after some 150 ms of start-up.
  for (const delayMs of [0, 10, 25, 45, 90]) {
    test(`leaves after ${delayMs} ms nothing that collect() does not clean`, async () => {
      const directory = await mkdtemp(join(tmpdir(), 'strata-network-'))
      const containerId = newId()
      const [port] = await freePorts(1)
      const code = `
        const { openNetworks, parsePublish } = await import(${JSON.stringify(NETWORK)})
        const networks = openNetworks({ directory: ${JSON.stringify(directory)} })
        await networks.list()
        process.stdout.write('ready')
        await networks.connect({ containerId: '${containerId}', containerName: 'test', publish: parsePublish('${port}:80') })`
      const child = spawn(process.execPath, ['--input-type=module', '-e', code], { detached: true, stdio: ['ignore', 'pipe', 'inherit'] })
      const exited = once(child, 'exit')
      await once(child.stdout, 'data')
      await sleep(delayMs)
      // The whole group: netavark and its iptables die in the middle, too.
      try {
        process.kill(-child.pid!, 'SIGKILL')
      } catch (error) {
        // A fast machine has connected by then.
        if (errnoOf(error) !== 'ESRCH') throw error
      }
      await exited

      using networks = openNetworks({ directory })
      const { bridge } = (await networks.get('bridge'))!
      await networks.collect()
      assert.deepEqual(await networks.endpoints(), [])
      const rules = spawnSync('iptables-save', { encoding: 'utf8' }).stdout.split('\n')
      assert.deepEqual(
        rules.filter(rule => rule.includes(containerId) || rule.includes(bridge!.subnet)),
        [],
      )
      if (existsSync(join(directory, 'netns'))) assert.deepEqual(readdirSync(join(directory, 'netns')), [])
      // The next container gets the same address and port, and takes the bridge with it.
      const next = await networks.connect({ containerId: newId(), containerName: 'next', publish: parsePublish(`${port}:80`) })
      assert.ok(next.address.endsWith('.2'))
      await networks.disconnect(next.containerId)
      assert.ok(!existsSync(`/sys/class/net/${bridge!.interfaceName}`))
      await rm(directory, { recursive: true })
    })
  }
})
