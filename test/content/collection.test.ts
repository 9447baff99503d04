import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { drain } from '../../src/base/index.ts'
import { openNamedStore, PROCESS } from './collectionProcess.ts'

interface Running {
  readonly child: ChildProcess
  readonly ended: Promise<void>
  output(): readonly string[]
}

function start(role: 'writer' | 'collector', root: string, id: string, seconds: number): Running {
  const child = spawn(process.execPath, [PROCESS, role, root, id, String(seconds)], { stdio: ['ignore', 'pipe', 'inherit'] })
  let text = ''
  child.stdout.on('data', (chunk: Buffer) => {
    text += chunk.toString()
  })
  const ended = once(child, 'close').then(([code, signal]) => {
    assert.ok(code === 0 || signal === 'SIGKILL', `process ${id} ended with ${code ?? signal}`)
  })
  return { child, ended, output: () => text.split('\n').slice(0, -1) }
}

/** The names that a process promised and did not take back. */
function promises(lines: readonly string[]): ReadonlyMap<string, string> {
  const names = new Map<string, string>()
  for (const [mark, name = '', digest = ''] of lines.map(line => line.split(' '))) {
    if (mark === '+') names.set(name, digest)
    if (mark === '-') names.delete(name)
  }
  return names
}

test('hostile #70, #71: collect() in one process loses nothing of what others store and name at the same time, nor what killed ones leave', async t => {
  const root = mkdtempSync(join(tmpdir(), 'strata-collection-'))
  try {
    openNamedStore(root).metadata.close()
    const writers = Array.from({ length: 3 }, (_, n) => start('writer', root, `w${n}`, 6))
    const collectors = [start('collector', root, 'c', 6)]
    const killed: Running[] = []
    const killing = (async () => {
      for (let n = 0; n < 5; n += 1) {
        const victim = start(n % 2 === 0 ? 'writer' : 'collector', root, `k${n}`, 60)
        killed.push(victim)
        await new Promise(resolve => setTimeout(resolve, 400 + Math.random() * 400))
        victim.child.kill('SIGKILL')
        await victim.ended
      }
    })()
    await Promise.all([...writers, ...collectors].map(running => running.ended))
    await killing

    const store = openNamedStore(root)
    const named = new Map(store.names().map(({ name, digest }) => [name, digest]))
    for (const writer of [...writers, ...killed]) {
      for (const [name, digest] of promises(writer.output())) assert.equal(named.get(name), digest, `name ${name} is there`)
    }
    for (const digest of named.values()) {
      for (const needed of [digest, ...store.content.children(digest)]) {
        const blob = await store.content.stat(needed)
        assert.ok(blob, `blob ${needed} is there`)
        await drain(await store.content.open(blob))
      }
    }
    // The leases of the killed end after a day.
    store.metadata.run('DELETE FROM leases')
    await store.collect()
    const needed = new Set([...named.values()].flatMap(digest => [digest, ...store.content.children(digest)]))
    assert.deepEqual(
      readdirSync(join(root, 'blobs', 'sha256'))
        .map(hex => `sha256:${hex}`)
        .sort(),
      [...needed].sort(),
    )
    assert.deepEqual(readdirSync(join(root, 'trash')), [])
    for await (const problem of store.content.verify()) assert.fail(`${problem.path} is ${problem.state}`)
    const turns = [...writers, ...collectors].map(running => running.output().at(-1))
    t.diagnostic(`turns of three writers and a collector: ${turns.join(' ')}`)
    store.metadata.close()
  } finally {
    rmSync(root, { recursive: true, force: true })
  }
})
