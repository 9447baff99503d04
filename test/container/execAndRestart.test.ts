import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { compareFileNames, streamOf } from '../../src/base/index.ts'
import type { AttachmentEnd, ContainerImage, ExecOptions } from '../../src/container/index.ts'
import { openWorkshop, remains, Sink, whyNot, type Workshop } from './workshop.ts'

const skip = await whyNot()
let workshop: Workshop
let busybox: ContainerImage

before(async () => {
  if (skip !== false) return
  workshop = await openWorkshop()
  busybox = await workshop.busybox({ Env: ['PATH=/bin', 'FROM=image'], WorkingDir: '/tmp', User: 'www' })
})

after(async () => {
  if (skip !== false) return
  await workshop[Symbol.asyncDispose]()
})

async function sleeper(options: object = {}): Promise<string> {
  const { id } = await workshop.containers.run({ image: busybox.name, command: ['sleep', '100'], network: 'none', ...options }, busybox)
  return id
}

async function exec(id: string, options: ExecOptions, input?: string): Promise<{ end: AttachmentEnd; stdout: string; stderr: string }> {
  const stdout = new Sink()
  const stderr = new Sink()
  const stdin = input === undefined ? {} : { stdin: streamOf(Buffer.from(input)) }
  const { ended } = await workshop.containers.exec(id, options, { stdout, stderr, ...stdin })
  const end = await ended
  return { end, stdout: stdout.text, stderr: stderr.text }
}

/** Waits until a look at the containers shows what is wanted. */
async function until(holds: () => Promise<boolean>): Promise<void> {
  for (let tries = 0; !(await holds()); tries += 1) {
    if (tries > 200) throw new Error('it did not come to be')
    await sleep(50)
  }
}

test('exec() runs with the environment, user and directory of the container, or with those that are given', { skip }, async () => {
  const id = await sleeper({ env: ['MORE=run'] })
  const script = 'echo $FROM $MORE $HOME; id -un; id -Gn; pwd; echo err >&2; exit 9'
  const own = await exec(id, { command: ['sh', '-c', script] })
  assert.deepEqual(own.end, { kind: 'exited', exitCode: 9 })
  assert.equal(own.stdout, 'image run /var/www\nwww\nwww wheel\n/tmp\n')
  assert.equal(own.stderr, 'err\n')
  const given = await exec(id, {
    command: ['sh', '-c', 'echo $FROM; id -u; id -g; pwd'],
    env: ['FROM=exec'],
    user: '1234:33',
    workingDirectory: '/etc',
  })
  assert.equal(given.stdout, 'exec\n1234\n33\n/etc\n')
  assert.equal((await exec(id, { command: ['cat'] }, 'through and back')).stdout, 'through and back')
  await assert.rejects(exec(id, { command: ['nothing-of-that-name'] }), { code: 'STRATA_COMMAND_NOT_FOUND' })
  await workshop.containers.remove(id, { force: true })
})

test('exec() with a terminal gives a terminal, its size and the exit code; detached it runs on by itself', { skip }, async () => {
  const id = await sleeper()
  const stdout = new Sink()
  async function* sizes(): AsyncGenerator<{ columns: number; rows: number }> {
    yield { columns: 90, rows: 30 }
  }
  const tty = await workshop.containers.exec(
    id,
    // crun sets the size when it has the terminal's other end, which may be after the process has begun; busybox prints none then, and ends well.
    { command: ['sh', '-c', 'tty; until stty size 2>/dev/null | grep .; do sleep 0.05; done; sleep 0.5; exit 6'], tty: true },
    { stdout, resizes: sizes() },
  )
  assert.deepEqual(await tty.ended, { kind: 'exited', exitCode: 6 })
  assert.match(stdout.text, /^\/dev\/pts\/\d+\r\n30 90\r\n$/)
  await workshop.containers.exec(id, { command: ['sh', '-c', 'echo done > /tmp/by-exec'], user: 'root' })
  await until(async () => (await exec(id, { command: ['cat', '/tmp/by-exec'] })).stdout === 'done\n')
  await assert.rejects(workshop.containers.exec(id, { command: ['nothing-of-that-name'], tty: true }, { stdout }), {
    code: 'STRATA_COMMAND_NOT_FOUND',
  })
  await workshop.containers.remove(id, { force: true })
  assert.deepEqual(remains(workshop), [])
})

test('top() shows the processes of the container and no others', { skip }, async () => {
  const id = await sleeper({ command: ['sh', '-c', 'sleep 101 & sleep 102 & wait'] })
  await until(async () => (await workshop.containers.top(id)).processes.length >= 3)
  const { titles, processes } = await workshop.containers.top(id, ['-eo', 'pid,args'])
  assert.deepEqual(titles, ['PID', 'COMMAND'])
  assert.deepEqual(processes.map(([, command = '']) => command).sort(compareFileNames), [
    'sh -c sleep 101 & sleep 102 & wait',
    'sleep 101',
    'sleep 102',
  ])
  await workshop.containers.remove(id, { force: true })
})

test('a policy restarts a container that fails, so often and no more, and its log goes on', { skip }, async () => {
  const id = await sleeper({ command: ['sh', '-c', 'echo try; exit 2'], restart: { policy: 'on-failure', maximumRetries: 2 } })
  await until(async () => {
    const { State, RestartCount } = await workshop.containers.inspect(id)
    return State.Status === 'exited' && RestartCount === 2
  })
  assert.equal((await workshop.containers.inspect(id)).State.ExitCode, 2)
  let log = ''
  for await (const { bytes } of workshop.containers.logs(id)) log += Buffer.from(bytes).toString()
  assert.equal(log, 'try\ntry\ntry\n')
  await workshop.containers.remove(id)
  assert.deepEqual(remains(workshop), [])
})

test('a container that always restarts does so until it is stopped; one that ends well does not with on-failure', { skip }, async () => {
  const id = await sleeper({ command: ['sh', '-c', 'sleep 0.2'], restart: { policy: 'always' } })
  await until(async () => (await workshop.containers.inspect(id)).RestartCount >= 2)
  await workshop.containers.stop(id, { timeoutSeconds: 0 })
  await sleep(1500)
  assert.equal((await workshop.containers.inspect(id)).State.Status, 'exited')
  await workshop.containers.remove(id)
  const well = await sleeper({ command: ['true'], restart: { policy: 'on-failure' } })
  assert.equal(await workshop.containers.wait(well), 0)
  await sleep(500)
  assert.equal((await workshop.containers.inspect(well)).State.Status, 'exited')
  await workshop.containers.remove(well)
  assert.deepEqual(remains(workshop), [])
})

test('restart() ends and starts a container; rename() moves its name', { skip }, async () => {
  const id = await sleeper({ name: 'first', command: ['sh', '-c', 'echo up; exec sleep 100'] })
  const before = (await workshop.containers.inspect(id)).State.Pid
  await workshop.containers.restart('first', { timeoutSeconds: 0 })
  const after = (await workshop.containers.inspect(id)).State
  assert.equal(after.Running, true)
  assert.notEqual(after.Pid, before)
  await workshop.containers.rename('first', 'second')
  await assert.rejects(workshop.containers.inspect('first'), { code: 'STRATA_NO_SUCH_CONTAINER' })
  assert.equal((await workshop.containers.inspect('second')).Name, '/second')
  const taken = { image: busybox.name, name: 'second', command: ['true'] }
  await assert.rejects(workshop.containers.create(taken, busybox), { code: 'STRATA_NAME_IN_USE', kind: 'conflict' })
  await workshop.containers.remove('second', { force: true })
  assert.equal(existsSync(join(workshop.root, 'containers', id)), false)
})

test('logs() takes the last lines, only one stream, and follows to the end', { skip }, async () => {
  const command = ['sh', '-c', 'for i in 1 2 3; do echo out $i; echo err $i >&2; done; sleep 0.5; echo last']
  const id = await sleeper({ command })
  const followed: string[] = []
  for await (const { stream, bytes } of workshop.containers.logs(id, { follow: true, stderr: false }))
    followed.push(`${stream} ${Buffer.from(bytes).toString()}`)
  assert.deepEqual(followed, ['stdout out 1\n', 'stdout out 2\n', 'stdout out 3\n', 'stdout last\n'])
  const tail: string[] = []
  for await (const { bytes } of workshop.containers.logs(id, { tail: 1 })) tail.push(Buffer.from(bytes).toString())
  assert.deepEqual(tail, ['last\n'])
  await workshop.containers.remove(id)
})

test('a container stays with the storage driver that has its layer, whatever driver others use', { skip }, async () => {
  await using first = await openWorkshop()
  const image = await first.busybox()
  const own = first.snapshots.driverName
  await using second = await openWorkshop({
    root: first.root,
    runDirectory: first.runDirectory,
    driver: own === 'vfs' ? 'overlay2' : 'vfs',
  })
  const { id } = await first.containers.create({ image: image.name, network: 'none', command: ['true'] }, image)
  const other = { code: 'STRATA_OTHER_DRIVER' }
  for (const verb of ['start', 'restart', 'remove', 'diff', 'export'] as const) await assert.rejects(second.containers[verb](id), other)
  await assert.rejects(second.containers.copyTo(id, '/', streamOf()), other)
  assert.deepEqual((await second.containers.prune()).removed, [])
  const [listed] = await second.containers.list({ all: true, size: true })
  assert.equal(listed?.id, id)
  assert.equal((await second.containers.inspect(id)).Driver, own)
  await first.containers.remove(id)

  // One that removes itself is seen to its end by the other: what it leaves is for its own exit command.
  const command = ['sh', '-c', 'sleep 0.3; exit 7']
  const { id: passing } = await first.containers.run({ image: image.name, network: 'none', autoRemove: true, command }, image)
  assert.equal(await second.containers.wait(passing), 7)
  const isThere = (): Promise<boolean> =>
    first.snapshots.stat(passing).then(
      () => true,
      () => false,
    )
  for (let tries = 0; tries < 200 && (await first.containers.list({ all: true })).length > 0; tries += 1) await sleep(25)
  assert.deepEqual([await first.containers.list({ all: true }), await isThere()], [[], false])
})
