import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { streamOf } from '../../src/base/index.ts'
import { openEngine } from '../../src/engine/index.ts'
import { mountsBelow, unmount } from '../../src/host/index.ts'
import { LosingDisk, whyNoLosingDisk } from '../support/losingDisk.ts'
import { type LoopbackRegistry, startRegistry } from '../support/loopbackRegistry.ts'
import { checkStore, storedFiles } from '../support/storeCheck.ts'
import { killBefore, type KillPoint, watchChanges, whyNoSystemCalls } from '../support/systemCalls.ts'
import { tarOf } from '../support/tars.ts'
import { VERBS, type VerbInput, type VerbName } from './oneVerb.ts'
import type { VerbJob } from './verbWorker.ts'

/*
 * A process is killed before one of the system calls by which a verb changes something: any call, in any of its threads. At
 * some points the power goes, too, and the disk has what was synced. Then the verb has happened as a whole or not at all,
 * what was acknowledged is whole, the same verb goes through, and a collection leaves nothing. Each run takes some of the
 * points; STRATA_ALL_FAULTS=1 kills at all, and cuts the power at a quarter of them.
 */

const ALL = process.env['STRATA_ALL_FAULTS'] !== undefined
/** Of each verb. */
const SAMPLE = { kills: 2, losses: 1 }
const WORKER = fileURLToPath(new URL('verbWorker.ts', import.meta.url))
const BASE = ['base:1', 'base:2', 'loose:1']

/** The names of images after a verb; before it they are those of BASE. */
const AFTER: Readonly<Record<VerbName, readonly string[]>> = {
  pull: [...BASE, 'pulled:1'],
  load: ['base:1', 'base:2', 'loaded:1', 'loaded:2', 'loose:1'],
  import: [...BASE, 'new:1'],
  create: BASE,
  commit: [...BASE, 'new:1'],
  'rmi of a name': ['base:2', 'loose:1'],
  'rmi of an image': ['base:1', 'base:2'],
  // The image of a container stays.
  'image prune': ['base:1', 'base:2'],
  'system prune': [],
}

/** Those that this kernel can mount. */
const DRIVERS = ['overlay2', ...(/\berofs$/m.test(readFileSync('/proc/filesystems', 'utf8')) ? ['erofs'] : [])]

let scratch: string
let registry: LoopbackRegistry
let input: VerbInput
let idle: VerbProcess | undefined
const skip = whyNoLosingDisk === false ? whyNoSystemCalls : whyNoLosingDisk

before(async () => {
  if (skip !== false) return
  scratch = await mkdtemp(join(tmpdir(), 'strata-kill-points-'))
  registry = await startRegistry()
  input = { archive: join(scratch, 'archive.tar'), remote: `${registry.address}/pulled:1` }
  await using engine = await openEngine({ root: join(scratch, 'made') })
  await engine.import(streamOf(sharedLayer()), { reference: 'loaded:1' })
  const { id } = await engine.create({ image: 'loaded:1', command: ['x'], network: 'none' })
  await engine.copyTo(id, '/', streamOf(tarOf({ second: 'second', link: { link: 'second' } })))
  await engine.commit(id, { reference: 'loaded:2' })
  await writeFile(input.archive, await engine.save(['loaded:1', 'loaded:2']))
  await engine.commit(id, { reference: input.remote })
  await engine.push(input.remote)
  await engine.removeContainer(id)
})
after(async () => {
  if (skip !== false) return
  await idle?.[Symbol.asyncDispose]()
  await registry[Symbol.asyncDispose]()
  await rm(scratch, { recursive: true, force: true })
})

const sharedLayer = (): Buffer => tarOf({ base: 'base', shared: Buffer.alloc(100_000, 1) })

for (const storageDriver of DRIVERS) {
  test(
    `hostile #68, #69, #71: a verb on ${storageDriver} that is killed before any of its system calls has done all or nothing, and leaves nothing`,
    { skip },
    async t => {
      await using disk = await LosingDisk.make(64)
      await disk.mount()
      await prepare(join(disk.mountPoint, 'root'), storageDriver)
      await disk.unmount()
      await disk.keep()
      for (const verb of Object.keys(VERBS) as VerbName[]) {
        await t.test(verb, async t => {
          const trial = new Trial(disk, storageDriver, verb)
          const points = await trial.finish()
          assert.ok(points.length > 10)
          const kills = ALL ? points : sample(points, SAMPLE.kills)
          for (const point of kills) await trial.kill(point, { losesPower: false })
          const losses = sample(points, ALL ? Math.ceil(points.length / 4) : SAMPLE.losses)
          for (const point of losses) await trial.kill(point, { losesPower: true })
          t.diagnostic(
            `${points.length} points, ${kills.length} kills, ${losses.length} power losses, ${trial.missed} points were not met again`,
          )
        })
      }
    },
  )
}

function sample<T>(all: readonly T[], count: number): readonly T[] {
  return Array.from({ length: count }, () => all[randomInt(all.length)]!)
}

/** One verb, done again and again on the same disk. */
class Trial {
  readonly #disk: LosingDisk
  readonly #storageDriver: string
  readonly #verb: VerbName
  readonly #root: string
  /** How often a verb was over before the point: threads do not take turns as they did. */
  missed = 0

  constructor(disk: LosingDisk, storageDriver: string, verb: VerbName) {
    this.#disk = disk
    this.#storageDriver = storageDriver
    this.#verb = verb
    this.#root = join(disk.mountPoint, 'root')
  }

  /** Nothing happens to the process, and then the power goes. Resolves with the points where it could have been killed. */
  async finish(): Promise<readonly KillPoint[]> {
    await this.#disk.restore()
    await using process = await this.#start()
    const { ended } = await watchChanges(process.pid, this.#root)
    assert.equal(await process.finish(), true)
    const points = await ended
    await this.#losePower()
    await this.#check('the end', true)
    return points
  }

  async kill(point: KillPoint, { losesPower }: { readonly losesPower: boolean }): Promise<void> {
    const place = `${point.call} ${point.nth} of ${point.thread}${losesPower ? ', power lost' : ''}`
    await this.#disk.restore()
    await using process = await this.#start()
    await killBefore(process.pid, point)
    const isDone = await process.finish()
    if (!process.wasKilled) this.missed += 1
    if (losesPower) await this.#losePower()
    await this.#check(place, isDone)
  }

  async #start(): Promise<VerbProcess> {
    const job: VerbJob = {
      root: this.#root,
      storageDriver: this.#storageDriver,
      warmRoot: join(scratch, 'warm'),
      verb: this.#verb,
      input,
    }
    const process = idle ?? new VerbProcess()
    // It starts while this one is used.
    idle = new VerbProcess()
    await process.ready(job)
    return process
  }

  async #losePower(): Promise<void> {
    this.#disk.losePower()
    await this.#disk.unmount({ lazy: true })
    await this.#disk.mount()
  }

  /** @param isDone whether the verb was acknowledged */
  async #check(place: string, isDone: boolean): Promise<void> {
    const [root, storageDriver] = [this.#root, this.#storageDriver]
    const names = await this.#names(place)
    const expected = isDone ? [AFTER[this.#verb]] : [BASE, AFTER[this.#verb]]
    assert.ok(
      expected.some(each => each.join() === names.join()),
      `${place}: ${names.join(', ')}, ${isDone ? '' : 'not '}acknowledged`,
    )
    await using engine = await openEngine({ root, storageDriver })
    if (this.#verb !== 'system prune')
      assert.equal((await engine.statPath('changed', '/changed')).sizeBytes, 7, `the container after ${place}`)
    if (names.join() === BASE.join() && randomInt(2) === 0) {
      await VERBS[this.#verb](engine, input)
      assert.deepEqual(await this.#names(`again after ${place}`), AFTER[this.#verb], `again after ${place}`)
    }
    // A container that nobody sees keeps no image.
    const isUsed = (await engine.containers({ all: true })).some(({ image }) => image === 'loose:1')
    if (this.#verb === 'create' && !isUsed) await engine.removeImage('loose:1')
    await VERBS['system prune'](engine, input)
    assert.deepEqual([...storedFiles(root), ...readdirSync(join(root, 'containers'))], [], `what is left after ${place}`)
    assert.deepEqual(mountsBelow(root), [], `what is mounted after ${place}`)
  }

  /** The names of the images, all of which are whole. */
  async #names(place: string): Promise<readonly string[]> {
    const { images, faults } = await checkStore(this.#root, this.#storageDriver)
    assert.deepEqual(faults, [], place)
    return images.flatMap(({ names }) => (names.length === 0 ? ['<none>'] : names.map(name => name.replace(/^.*\//, '')))).toSorted()
  }
}

/** The process of verbWorker.ts. */
class VerbProcess implements AsyncDisposable {
  readonly #process: ChildProcess
  readonly #ended: Promise<unknown>
  #said = ''

  constructor() {
    const env = { ...process.env, UV_THREADPOOL_SIZE: '1', NODE_COMPILE_CACHE: join(scratch, 'compiled') }
    this.#process = spawn(process.execPath, [WORKER], { stdio: ['pipe', 'pipe', 'inherit'], env })
    this.#ended = once(this.#process, 'close')
    this.#process.stdout!.on('data', (chunk: Buffer) => {
      this.#said += chunk.toString()
    })
  }

  get pid(): number {
    return this.#process.pid!
  }

  get wasKilled(): boolean {
    return this.#process.signalCode === 'SIGKILL'
  }

  /** Gives it a job. Resolves when all its threads are there and nothing of the verb has begun. */
  async ready(job: VerbJob): Promise<void> {
    this.#process.stdin!.write(JSON.stringify(job))
    while (!this.#said.includes('ready\n')) await Promise.race([once(this.#process.stdout!, 'data'), this.#failure()])
  }

  /** Does the verb. Resolves when the process has ended, with whether the verb was acknowledged. */
  async finish(): Promise<boolean> {
    this.#process.stdin!.write('go')
    await this.#ended
    assert.ok(this.wasKilled || this.#process.exitCode === 0, `the process ended with ${this.#process.exitCode}`)
    return this.#said.includes('done\n')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#process.kill('SIGKILL')
    await this.#ended
  }

  async #failure(): Promise<never> {
    await this.#ended
    throw new Error(`The process has ended: ${this.#said}`)
  }
}

/** Images with layers of their own and shared ones, and a container with a change. */
async function prepare(root: string, storageDriver: string): Promise<void> {
  {
    await using engine = await openEngine({ root, storageDriver })
    await engine.import(streamOf(sharedLayer()), { reference: 'base:1' })
    await engine.tag('base:1', 'base:2')
    await engine.import(streamOf(tarOf({ loose: 'loose' })), { reference: 'loose:1' })
    await engine.create({ name: 'changed', image: 'base:1', command: ['x'], network: 'none' })
    await engine.copyTo('changed', '/', streamOf(tarOf({ changed: 'changed' })))
  }
  for (const { target } of mountsBelow(root).toReversed()) unmount(target)
}
