import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { must, strata } from '../support/commands.ts'
import { checkStore, storedFiles } from '../support/storeCheck.ts'
import { tarOf } from '../support/tars.ts'

/*
 * `kill -9` of a command at a random moment: what it had been asked for has happened as a whole or not at all, the same command
 * goes through afterwards, and a prune leaves nothing of the one that died. More kills: STRATA_KILLS=50.
 */

const STRATA = fileURLToPath(new URL('../../bin/strata', import.meta.url))
const KILLS = Number(process.env['STRATA_KILLS'] ?? 3)

let scratch: string
let archive: string

before(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'strata-crash-'))
  archive = join(scratch, 'archive.tar')
  const root = join(scratch, 'made')
  for (const n of [1, 2]) {
    const tar = join(scratch, 'import.tar')
    const many = Array.from({ length: 200 }, (_, file) => [`d${file % 7}/f${file}`, `${n} ${file}`] as const)
    await writeFile(tar, tarOf({ ...Object.fromEntries(many), big: Buffer.alloc(5_000_000, n) }))
    await succeeds(root, 'import', tar, `loaded:${n}`)
  }
  await succeeds(root, 'save', '-o', archive, 'loaded:1', 'loaded:2')
})
after(() => rm(scratch, { recursive: true, force: true }))

async function succeeds(root: string, ...args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await strata(['--root', root, ...args])
  assert.equal(code, 0, `${args.join(' ')}: ${stderr}`)
  return stdout.trim()
}

interface Verb {
  readonly args: readonly string[]
  readonly before: readonly string[]
  readonly after: readonly string[]
  /** Whether the same can be asked for when it has been done. */
  readonly repeats: boolean
}

const BASE = ['base:1', 'loaded:1', 'loaded:2']

const VERBS: Readonly<Record<string, Verb>> = {
  commit: { args: ['commit', 'changed', 'new:1'], before: BASE, after: [...BASE, 'new:1'], repeats: true },
  load: { args: ['load', '-q', '-i'], before: ['base:1'], after: BASE, repeats: true },
  rmi: { args: ['rmi', 'loaded:1'], before: BASE, after: ['base:1', 'loaded:2'], repeats: false },
  'image prune': { args: ['image', 'prune', '-a', '-f'], before: BASE, after: ['base:1'], repeats: true },
}

for (const [title, verb] of Object.entries(VERBS)) {
  const skip = process.getuid?.() !== 0 && 'one of the images is a container’s, which needs root'
  test(`hostile #68, #71: strata ${title} that is killed at any moment has done all or nothing, and leaves nothing`, { skip }, async t => {
    const args = verb.args[0] === 'load' ? [...verb.args, archive] : verb.args
    const prepared = await prepare(verb.before.length > 1)
    let done = 0
    for (let kill = 0; kill < KILLS; kill += 1) {
      const root = join(scratch, `root-${title}-${kill}`)
      await must('cp', '-a', prepared, root)
      const child = spawn(STRATA, ['--root', root, ...args], { stdio: 'ignore' })
      const ended = once(child, 'close')
      // Most of a command's time is its start.
      await Promise.race([sleep(100 + randomInt(500)), ended])
      const finished = child.exitCode !== null
      child.kill('SIGKILL')
      await ended

      const left = await names(root)
      if (left.join() === verb.after.join()) done += 1
      else assert.deepEqual(left, verb.before)
      if (finished) assert.deepEqual(left, verb.after, 'what was acknowledged has happened')

      if (verb.repeats || left.join() === verb.before.join()) await succeeds(root, ...args)
      assert.deepEqual(await names(root), verb.after)

      await succeeds(root, 'rm', '-f', 'changed')
      await succeeds(root, 'image', 'prune', '-af')
      assert.deepEqual(storedFiles(root), [])
    }
    t.diagnostic(`${done} of ${KILLS} had done it`)
  })
}

/** A root with an image, a container that has changed a file of it, and two more images. */
async function prepare(withLoaded: boolean): Promise<string> {
  const root = await mkdtemp(join(scratch, 'prepared-'))
  const tar = join(scratch, 'base.tar')
  await writeFile(tar, tarOf({ base: 'base', other: Buffer.alloc(1_000_000, 3) }))
  await succeeds(root, 'import', tar, 'base:1')
  await succeeds(root, 'create', '--name', 'changed', '--network', 'none', 'base:1', 'x')
  await succeeds(root, 'cp', STRATA, 'changed:/other')
  if (withLoaded) await succeeds(root, 'load', '-q', '-i', archive)
  return root
}

/** The names of the images, all of which are whole. */
async function names(root: string): Promise<readonly string[]> {
  const { images, faults } = await checkStore(root)
  assert.deepEqual(faults, [])
  return images.flatMap(image => image.names.map(name => name.replace('docker.io/library/', ''))).toSorted()
}
