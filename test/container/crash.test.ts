import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, readdirSync, rmdirSync } from 'node:fs'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { errnoOf, findProgram } from '../../src/base/index.ts'
import type { ContainerImage, ContainerOptions } from '../../src/container/index.ts'
import type { Task } from './starterProcess.ts'
import { cgroupsOf, openWorkshop, processesWith, remains, Sink, whyNot, type Workshop } from './workshop.ts'

const skip = await whyNot()
const skipBridge = skip !== false ? skip : (await findProgram('netavark')) === undefined ? 'netavark is not installed' : false
const STARTER = new URL('starterProcess.ts', import.meta.url).pathname
let workshop: Workshop
let busybox: ContainerImage

before(async () => {
  if (skip !== false) return
  workshop = await openWorkshop()
  busybox = await workshop.busybox()
})

after(async () => {
  if (skip !== false) return
  await workshop[Symbol.asyncDispose]()
})

interface Started {
  readonly child: ChildProcess
  readonly output: Sink
  readonly ended: Promise<void>
}

function begin(task: Task): Started {
  const child = spawn(process.execPath, [STARTER, workshop.root, workshop.runDirectory, JSON.stringify(task)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const output = new Sink()
  child.stdout.pipe(output)
  return { child, output, ended: new Promise(resolve => child.once('close', () => resolve())) }
}

function options(more: Partial<ContainerOptions> = {}): ContainerOptions {
  return { image: busybox.name, command: ['sh', '-c', 'echo up; exec sleep 300'], network: 'none', ...more }
}

async function until(holds: () => Promise<boolean> | boolean): Promise<void> {
  for (let tries = 0; !(await holds()); tries += 1) {
    if (tries > 300) throw new Error('it did not come to be')
    await sleep(50)
  }
}

function isTakenAway(cgroup: string): boolean {
  try {
    rmdirSync(cgroup)
    return true
  } catch (error) {
    if (errnoOf(error) === 'EBUSY') return false
    throw error
  }
}

/** Everything of this root that a kill may leave; what `recover` and a removal must take away. */
async function takeAway(): Promise<void> {
  const { containers } = workshop
  const directory = `${workshop.root}/containers`
  const ids = existsSync(directory) ? readdirSync(directory) : []
  await containers.recover()
  for (const { id } of await containers.list({ all: true })) await containers.remove(id, { force: true, volumes: true })
  // A runtime that was making the container when its caller was killed ends a moment later.
  await until(async () => {
    await containers.recover()
    return remains(workshop).length === 0
  })
  assert.deepEqual(containers.images(), [])
  if (existsSync(directory)) assert.deepEqual(readdirSync(directory), [])
  for (const id of ids) {
    // A runtime that is killed between making a cgroup and noting it leaves it, now and then, with nothing in it: a known fault.
    // The kernel lets go of it a moment after its last process has ended.
    await until(() => processesWith(id).length === 0)
    await until(() => cgroupsOf(id).every(isTakenAway))
    assert.equal(existsSync(`/run/strata/network/netns/${id}`), false)
  }
}

for (const [how, more, attached] of [
  ['in the foreground', { autoRemove: true }, true],
  ['detached', {}, false],
  ['detached, with volumes', { binds: ['/anonymous'], autoRemove: true }, false],
] as const) {
  test(
    `a process that is killed at any moment of a run ${how} leaves nothing that recover() and remove() do not take`,
    { skip, timeout: 60_000 },
    async () => {
      for (const delay of [15, 30, 45, 60, 75, 100, 130, 170, 250]) {
        const { child, output, ended } = begin({ verb: 'run', image: busybox, options: options(more), attached })
        await output.until(/ready/)
        await sleep(delay)
        child.kill('SIGKILL')
        await ended
        await takeAway()
      }
    },
  )
}

test(
  'a process that is killed while a bridge is set up leaves no namespace and no address',
  { skip: skipBridge, timeout: 60_000 },
  async () => {
    for (const delay of [30, 90, 150, 250]) {
      const { child, output, ended } = begin({ verb: 'run', image: busybox, options: options({ network: 'bridge' }) })
      await output.until(/ready/)
      await sleep(delay)
      child.kill('SIGKILL')
      await ended
      await takeAway()
    }
  },
)

test('a container that removes itself does so when the command that ran it in the foreground was killed', { skip }, async () => {
  const command = ['sh', '-c', 'echo up; sleep 1']
  const { child, output, ended } = begin({ verb: 'run', image: busybox, options: options({ command, autoRemove: true }), attached: true })
  await output.until(/up/)
  child.kill('SIGKILL')
  await ended
  // It runs on, and is known.
  assert.deepEqual(
    (await workshop.containers.list()).map(({ status }) => status),
    ['running'],
  )
  await until(async () => (await workshop.containers.list({ all: true })).length === 0)
  assert.deepEqual(remains(workshop), [])
})

test('a container that removes itself does so by its monitor when nobody is there', { skip }, async () => {
  const { output, ended } = begin({ verb: 'run', image: busybox, options: options({ command: ['sleep', '0.3'], autoRemove: true }) })
  await output.until(/done/)
  await ended
  await until(() => remains(workshop).length === 0 && workshop.containers.images().length === 0)
})

test('a container whose monitor and process were killed is seen as ended, and can be started again', { skip }, async () => {
  const { containers } = workshop
  const { id } = await containers.run(options(), busybox)
  const { Pid } = (await containers.inspect(id)).State
  const [monitor = 0] = processesWith(`--cid\0${id}`)
  process.kill(monitor, 'SIGKILL')
  process.kill(Pid, 'SIGKILL')
  await until(async () => (await containers.inspect(id)).State.Status === 'exited')
  const { State } = await containers.inspect(id)
  assert.deepEqual([State.ExitCode, State.Running], [255, false])
  await containers.start(id)
  assert.equal((await containers.inspect(id)).State.Running, true)
  await containers.remove(id, { force: true })
  assert.deepEqual(remains(workshop), [])
})

test('a record of an earlier boot is not believed', { skip }, async () => {
  const { containers, root } = workshop
  const { id } = await containers.create(options(), busybox)
  const { openMetadata } = await import('../../src/metadata/index.ts')
  using metadata = openMetadata(`${root}/meta.db`)
  const run = { kind: 'monitored', pid: process.pid, monitor: { pid: process.pid, startedAt: '1', bootId: 'another' } }
  metadata.run(
    "UPDATE containers SET state = json_set(state, '$.status', 'running', '$.run', json(?)) WHERE id = ?",
    JSON.stringify(run),
    id,
  )
  assert.deepEqual(
    (await containers.list({ all: true })).map(({ status, exitCode }) => [status, exitCode]),
    [['exited', 255]],
  )
  await containers.remove(id)
})

test('several processes that start, stop and restart one container at once leave it in one state', { skip, timeout: 60_000 }, async () => {
  const { containers } = workshop
  const { id } = await containers.create(options(), busybox)
  for (const verbs of [
    ['start', 'start'],
    ['stop', 'start'],
    ['restart', 'stop', 'restart'],
  ] as const) {
    const started = verbs.map(verb => begin({ verb, container: id }))
    for (const { output, ended } of started) {
      await ended
      assert.match(output.text, /done/)
    }
    const { State } = await containers.inspect(id)
    assert.ok(State.Status === 'running' || State.Status === 'exited' || State.Status === 'created', State.Status)
    assert.equal(processesWith(`--cid\0${id}`).length <= (State.Running ? 1 : 0) + 1, true)
    if (!State.Running) assert.deepEqual(remains(workshop), [])
  }
  await containers.remove(id, { force: true })
  assert.deepEqual(remains(workshop), [])
})

test('two containers cannot get one name at once', { skip }, async () => {
  const tasks = Array.from({ length: 4 }, () =>
    begin({ verb: 'run', image: busybox, options: options({ name: 'only-one', command: ['true'] }) }),
  )
  for (const { ended } of tasks) await ended
  assert.equal(tasks.filter(({ output }) => output.text.includes('done')).length, 1)
  assert.equal(tasks.filter(({ output }) => output.text.includes('STRATA_NAME_IN_USE')).length, 3)
  await workshop.containers.wait('only-one')
  await workshop.containers.remove('only-one')
  assert.deepEqual(remains(workshop), [])
})
