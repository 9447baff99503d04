import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { openEngine } from '../../src/engine/index.ts'
import { mountsBelow, unmount } from '../../src/host/index.ts'
import { openMetadata, openRootDirectory } from '../../src/metadata/index.ts'
import { must } from '../support/commands.ts'
import { LosingDisk, whyNoLosingDisk } from '../support/losingDisk.ts'
import { type LoopbackRegistry, startRegistry } from '../support/loopbackRegistry.ts'
import { checkStore, storedFiles } from '../support/storeCheck.ts'
import type { StoreJob } from './storeWorker.ts'

/*
 * The power goes while images come and go. Whatever had been acknowledged is there afterwards, to the last attribute of
 * the last file of its tree; what had not is not half there, and its remains go. More rounds: STRATA_POWER_LOSSES=50.
 */

const LOSSES = Number(process.env['STRATA_POWER_LOSSES'] ?? 3)
const WORKER = fileURLToPath(new URL('storeWorker.ts', import.meta.url))

let scratch: string
let registry: LoopbackRegistry
let archives: StoreJob['archives']
let remotes: readonly string[]

before(async () => {
  if (whyNoLosingDisk !== false) return
  scratch = await mkdtemp(join(tmpdir(), 'strata-power-images-'))
  registry = await startRegistry()
  const made = join(scratch, 'made')
  await using engine = await openEngine({ root: made })
  remotes = ['a', 'b'].map(tag => `${registry.address}/power:${tag}`)
  for (const [position, name] of remotes.entries()) {
    const tar = join(scratch, `${position}.tar`)
    await must('sh', '-c', treeScript(join(scratch, `tree${position}`), tar, position))
    await engine.import(tar, { reference: name })
    const { id } = await engine.create({ image: name, command: ['x'], network: 'none' })
    const second = join(scratch, 'second')
    await must('sh', '-c', `mkdir -p ${second}/dir/more && echo ${position} > ${second}/dir/one && ln -sf one ${second}/dir/more/link`)
    await engine.copyFromHost(`${second}/.`, id, '/')
    await engine.commit(id, { reference: name })
    await engine.removeContainer(id)
    await engine.push(name)
  }
  const archive = join(scratch, 'archive.tar')
  await writeFile(archive, await engine.save(remotes))
  archives = [{ path: archive, names: remotes }]
})
after(async () => {
  if (whyNoLosingDisk !== false) return
  await registry[Symbol.asyncDispose]()
  await rm(scratch, { recursive: true, force: true })
})

/** Many small files and some larger ones, empty directories, links, owners, modes, xattrs. */
function treeScript(directory: string, tar: string, seed: number): string {
  return `set -e; mkdir -p ${directory}/dir ${directory}/empty; cd ${directory}
    for n in $(seq 1 150); do mkdir -p d$((n % 17)); echo $n ${seed} > d$((n % 17))/f$n; done
    head -c 3000000 /dev/urandom > large; ln large again; ln -s nowhere dangling; mkfifo pipe; mknod null c 1 3
    chown 33:44 d1/f1; chmod 4711 d2/f2; chmod 700 empty; setfattr -n user.x -v ${seed} large
    tar --xattrs --format=posix -cf ${tar} .`
}

interface Acknowledged {
  /** Image ids, by name. */
  readonly has: Map<string, string>
  readonly maybeGone: Set<string>
  readonly gone: Set<string>
  readonly containers: Set<string>
  verbs: number
}

function read(lines: readonly string[], into: Acknowledged): void {
  for (const line of lines) {
    const [word, ...rest] = line.split(' ')
    if (word === 'has') into.has.set(rest[1]!, rest[0]!)
    if (word === 'drop') into.maybeGone.add(rest[0]!)
    if (word === 'gone') into.gone.add(rest[0]!)
    if (word === 'made') into.containers.add(rest[0]!)
    if (word === 'unmake') into.containers.delete(rest[0]!)
    if (word === 'next') into.verbs += 1
  }
}

/** Those that this kernel can mount. */
const DRIVERS = ['overlay2', 'vfs', ...(/\berofs$/m.test(readFileSync('/proc/filesystems', 'utf8')) ? ['erofs'] : [])]

for (const storageDriver of DRIVERS) {
  test(
    `hostile #68, #69: images that were acknowledged on ${storageDriver} before the power went are whole, to the last file of their trees`,
    { skip: whyNoLosingDisk, timeout: 60_000 + LOSSES * 20_000 },
    async t => {
      await using disk = await LosingDisk.make(1024)
      const root = join(disk.mountPoint, 'root')
      const told: Acknowledged = { has: new Map(), maybeGone: new Set(), gone: new Set(), containers: new Set(), verbs: 0 }
      let acknowledged = 0
      for (let loss = 0; loss < LOSSES; loss += 1) {
        await disk.mount()
        const job: StoreJob = {
          root,
          storageDriver,
          archives,
          remotes,
          prefix: `p${loss}`,
          verbs: ['load', 'pull', 'import', 'import', 'commit', 'commit', 'remove', ...(loss % 2 === 0 ? [] : (['prune'] as const))],
        }
        const worker = spawn(process.execPath, [WORKER, JSON.stringify(job)], { stdio: ['ignore', 'pipe', 'inherit'] })
        const ended = once(worker, 'close')
        let said = ''
        worker.stdout.on('data', (chunk: Buffer) => {
          said += chunk.toString()
        })
        // Early and late losses, but a name at least is acknowledged before the first.
        await Promise.race([once(worker.stdout, 'data'), ended])
        if (loss === 0) while (!said.includes('has ') && worker.exitCode === null) await sleep(20)
        await sleep(randomInt(2500))
        assert.equal(worker.exitCode, null, 'the worker works')
        // Stopped in the middle of whatever it does, it cannot complain about the disk either.
        worker.kill('SIGSTOP')
        disk.losePower()
        worker.kill('SIGKILL')
        await ended
        await disk.unmount({ lazy: true })
        read(said.split('\n').slice(0, -1), told)

        await disk.mount()
        const { faults, images } = await checkStore(root, storageDriver)
        assert.deepEqual(faults, [])
        const ids = new Map(images.flatMap(({ names, id }) => names.map(name => [name.replace(/^docker\.io\/library\//, ''), id])))
        for (const [name, id] of told.has) if (!told.maybeGone.has(name)) assert.equal(ids.get(name), id, `${name} was acknowledged`)
        for (const name of told.gone) assert.equal(ids.get(name), undefined, `${name} was removed`)
        await assertContainers(root, told.containers)
        acknowledged += told.has.size
        if (loss % 2 === 1) {
          await assertNothingLeft(root, storageDriver)
          told.has.clear()
          told.containers.clear()
        }
        // Containers that were made keep the mounts of their layers ready.
        for (const { target } of mountsBelow(root).toReversed()) unmount(target)
        await disk.unmount()
      }
      t.diagnostic(`${told.verbs} verbs done, ${acknowledged} names acknowledged before ${LOSSES} power losses`)
      assert.ok(acknowledged > 0)
    },
  )
}

/** Containers that were acknowledged are there, and show their image. */
async function assertContainers(root: string, acknowledged: ReadonlySet<string>): Promise<void> {
  await using engine = await openEngine({ root })
  const ids = new Set((await engine.containers({ all: true })).map(({ id }) => id))
  for (const id of acknowledged) {
    assert.ok(ids.has(id), `container ${id} was acknowledged`)
    assert.equal((await engine.statPath(id, '/big')).sizeBytes, 300_000)
  }
}

/** Everything can be removed, and then nothing is left on the disk. */
async function assertNothingLeft(root: string, storageDriver: string): Promise<void> {
  await using engine = await openEngine({ root, storageDriver })
  for (const { id } of await engine.containers({ all: true })) await engine.removeContainer(id, { force: true })
  await engine.pruneImages()
  const { images, faults } = await checkStore(root, storageDriver)
  assert.deepEqual(faults, [])
  for (const { id } of images)
    if ((await engine.images({ all: true })).some(image => image.id === id)) await engine.removeImage(id, { force: true })
  await engine.pruneImages({ all: true })
  using metadata = openMetadata(openRootDirectory(root))
  const rows = ['snapshots', 'leases', 'lease_resources'].flatMap(table => metadata.all(`SELECT * FROM ${table}`))
  assert.deepEqual({ files: storedFiles(root), rows }, { files: [], rows: [] })
}
