import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { randomInt } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { strata } from '../support/commands.ts'
import { type LoopbackRegistry, startRegistry } from '../support/loopbackRegistry.ts'
import { checkStore, storedFiles } from '../support/storeCheck.ts'
import { tarOf } from '../support/tars.ts'

/* Many commands on one root at once, some of them killed: nobody sees an error that is not his, and nothing is lost or left. */

const STRATA = fileURLToPath(new URL('../../bin/strata', import.meta.url))
const SECONDS = Number(process.env['STRATA_CONCURRENT_SECONDS'] ?? 8)

let scratch: string
let root: string
let registry: LoopbackRegistry

before(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'strata-concurrency-'))
  root = join(scratch, 'root')
  registry = await startRegistry()
})
after(async () => {
  await registry[Symbol.asyncDispose]()
  await rm(scratch, { recursive: true, force: true })
})

async function succeeds(...args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await strata(['--root', root, ...args])
  assert.equal(code, 0, `${args.join(' ')}: ${stderr}`)
  return stdout
}

/** Runs a command and kills it (the process itself: `bin/strata` becomes it by exec) at a random moment of its life. */
async function killed(...args: readonly string[]): Promise<void> {
  const child = spawn(STRATA, ['--root', root, ...args], { stdio: 'ignore' })
  const ended = once(child, 'close')
  await Promise.race([sleep(randomInt(100, 700)), ended])
  child.kill('SIGKILL')
  await ended
}

const skip = process.getuid?.() !== 0 && 'one of the images is a container’s, which needs root'

test(
  'hostile #70, #71: commands at once on one root fail nobody, killed ones leave nothing that prune does not take',
  { skip },
  async () => {
    const archive = join(scratch, 'all.tar')
    const names = ['a', 'b'].map(each => `${registry.address}/app:${each}`)
    for (const [position, name] of names.entries()) {
      const tar = join(scratch, `${position}.tar`)
      writeFileSync(tar, tarOf({ [`file${position}`]: Buffer.alloc(2_000_000, position + 1), shared: 'shared' }))
      await succeeds('import', tar, name)
      await succeeds('push', '-q', name)
    }
    await succeeds('save', '-o', archive, ...names)
    const kept = 'kept:always'
    await succeeds('tag', names[0]!, kept)
    const whole = await succeeds('inspect', kept, '-f', '{{.Id}}')

    await succeeds('create', '--name', 'changed', '--network', 'none', kept, 'x')
    await succeeds('cp', STRATA, 'changed:/file0')
    const commands = (): readonly string[] => {
      const name = names[randomInt(names.length)]!
      return [
        ['pull', '-q', name],
        ['load', '-q', '-i', archive],
        ['rmi', '-f', name],
        ['image', 'prune', '-f'],
        ['tag', kept, name],
        ['import', join(scratch, '0.tar'), 'imported'],
        ['commit', 'changed', 'committed'],
      ][randomInt(7)]!
    }
    const end = Date.now() + SECONDS * 1000
    const work = async (one: (...args: readonly string[]) => Promise<unknown>): Promise<void> => {
      while (Date.now() < end) await one(...commands())
    }
    await Promise.all([work(succeeds), work(succeeds), work(succeeds), work(killed), work(killed)])

    const { faults } = await checkStore(root)
    assert.deepEqual(faults, [])
    assert.equal(await succeeds('inspect', kept, '-f', '{{.Id}}'), whole)
    const ids = [...new Set((await succeeds('images', '-aq', '--no-trunc')).split('\n').slice(0, -1))]
    for (const [position, id] of ids.entries()) await succeeds('save', '-o', join(scratch, `saved${position}.tar`), id)
    await succeeds('rm', 'changed')
    await succeeds('rmi', '-f', ...ids)
    await succeeds('image', 'prune', '-af')
    assert.deepEqual(storedFiles(root), [])
  },
)

test('hostile #70: two pulls of one image at once fetch each layer once', async () => {
  const name = `${registry.address}/app:a`
  const outputs = await Promise.all([succeeds('pull', name), succeeds('pull', name)])
  for (const output of outputs) assert.match(output, /Digest: sha256:/)
  const fetched = outputs.filter(output => / Download complete\n/.test(output))
  assert.equal(fetched.length, 1, outputs.join('\n'))
})
