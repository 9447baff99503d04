import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { StrataError, streamOf } from '../../src/base/index.ts'
import type { ContainerImage } from '../../src/container/index.ts'
import { cgroupsOf, openWorkshop, remains, runToEnd, Sink, whyNot, type Workshop } from './workshop.ts'

const skip = await whyNot()
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

for (const autoRemove of [true, false]) {
  const how = autoRemove ? 'in the foreground' : 'under its monitor'

  test(`run() gives output, error output and exit code of a container ${how}`, { skip }, async () => {
    const command = ['sh', '-c', 'echo out > /dev/stdout; echo err > /dev/stderr; exit 7']
    const { exitCode, stdout, stderr, id } = await runToEnd(workshop, busybox, { command, autoRemove })
    assert.deepEqual({ exitCode, stdout, stderr }, { exitCode: 7, stdout: 'out\n', stderr: 'err\n' })
    const left = (await workshop.containers.list({ all: true })).map(each => [each.id, each.status, each.exitCode])
    assert.deepEqual(left, autoRemove ? [] : [[id, 'exited', 7]])
    if (!autoRemove) await workshop.containers.remove(id)
    assert.deepEqual(remains(workshop), [])
    assert.deepEqual(cgroupsOf(id), [])
  })

  test(`run() gives the input to a container ${how} to its end`, { skip }, async () => {
    const input = Buffer.alloc(300_000, 'abcdefghij\n')
    const { stdout, id } = await runToEnd(workshop, busybox, { command: ['md5sum'], autoRemove, openStdin: true }, streamOf(input))
    const { createHash } = await import('node:crypto')
    assert.equal(stdout, `${createHash('md5').update(input).digest('hex')}  -\n`)
    if (!autoRemove) await workshop.containers.remove(id)
  })

  test(`run() rejects for a command that is not there, or no program, ${how}`, { skip }, async () => {
    const code = async (command: readonly string[]): Promise<string> => {
      try {
        await runToEnd(workshop, busybox, { command, autoRemove })
        return 'it ran'
      } catch (error) {
        return (error as { code: string }).code
      }
    }
    assert.equal(await code(['nothing-of-that-name']), 'STRATA_COMMAND_NOT_FOUND')
    assert.equal(await code(['/etc/passwd']), 'STRATA_COMMAND_NOT_EXECUTABLE')
    const left = await workshop.containers.list({ all: true })
    assert.deepEqual(
      left.map(({ status, exitCode }) => [status, exitCode]),
      autoRemove
        ? []
        : [
            ['created', 126],
            ['created', 127],
          ],
    )
    for (const { id } of left) await workshop.containers.remove(id)
    assert.deepEqual(remains(workshop), [])
  })

  test(`kill() ends a container ${how} with 128 and the signal`, { skip }, async () => {
    const stdout = new Sink()
    const options = { image: busybox.name, command: ['sh', '-c', 'echo up; exec sleep 100'], network: 'none', autoRemove }
    const { id, ended } = await workshop.containers.run(options, busybox, { stdout })
    await stdout.until(/up/)
    await workshop.containers.kill(id, 'KILL')
    assert.deepEqual(await ended, { kind: 'exited', exitCode: 137 })
    if (!autoRemove) await workshop.containers.remove(id)
    assert.deepEqual(remains(workshop), [])
  })
}

test('a detached container outlives the call; stop() ends it by its stop signal, logs() has what it said', { skip }, async () => {
  const command = ['sh', '-c', 'trap "echo bye; exit 3" TERM; echo up; while :; do sleep 0.1; done']
  const { id } = await workshop.containers.run({ image: busybox.name, command, network: 'none', name: 'daemon' }, busybox)
  const [running] = await workshop.containers.list()
  assert.equal(running?.status, 'running')
  for await (const { bytes } of workshop.containers.logs('daemon', { follow: true })) if (Buffer.from(bytes).includes('up')) break
  await workshop.containers.stop('daemon')
  const { State } = await workshop.containers.inspect(id)
  assert.deepEqual([State.Status, State.ExitCode, State.Running, State.Pid], ['exited', 3, false, 0])
  const said: string[] = []
  for await (const { bytes } of workshop.containers.logs(id)) said.push(Buffer.from(bytes).toString())
  assert.equal(said.join(''), 'up\nbye\n')
  assert.deepEqual(remains(workshop), [])
  // And once more: what it wrote into its layer and its log is still there.
  await workshop.containers.start(id)
  assert.equal((await workshop.containers.inspect(id)).State.Running, true)
  await workshop.containers.stop(id, { timeoutSeconds: 5 })
  await workshop.containers.remove(id)
})

test('stop() kills what does not listen, after the timeout', { skip }, async () => {
  const command = ['sh', '-c', 'trap "" TERM; while :; do sleep 0.1; done']
  const { id } = await workshop.containers.run({ image: busybox.name, command, network: 'none' }, busybox)
  const begun = performance.now()
  await workshop.containers.stop(id, { timeoutSeconds: 1 })
  const took = performance.now() - begun
  assert.ok(took > 900 && took < 30_000, `${took} ms`)
  assert.equal((await workshop.containers.inspect(id)).State.ExitCode, 137)
  await workshop.containers.remove(id)
})

test('wait() resolves with the exit code, also when the container removes itself', { skip }, async () => {
  const command = ['sh', '-c', 'sleep 0.3; exit 5']
  const { id } = await workshop.containers.run({ image: busybox.name, command, network: 'none', autoRemove: true }, busybox)
  assert.equal(await workshop.containers.wait(id), 5)
  assert.deepEqual(await workshop.containers.list({ all: true }), [])
  assert.deepEqual(remains(workshop), [])
})

test('a terminal has the size that is given, and detach keys leave the container running', { skip }, async () => {
  const stdout = new Sink()
  const keys = Promise.withResolvers<Uint8Array>()
  async function* typed(): AsyncGenerator<Uint8Array> {
    yield Buffer.from('stty size; echo ready\n')
    yield await keys.promise
    await new Promise(() => undefined)
  }
  async function* sizes(): AsyncGenerator<{ columns: number; rows: number }> {
    yield { columns: 101, rows: 43 }
    await new Promise(() => undefined)
  }
  const options = { image: busybox.name, network: 'none', tty: true, openStdin: true, attach: ['stdin', 'stdout', 'stderr'] as const }
  const { id, ended } = await workshop.containers.run(options, busybox, { stdin: typed(), stdout, resizes: sizes() })
  await stdout.until(/\r\nready/)
  assert.match(stdout.text, /43 101/)
  keys.resolve(Buffer.of(16, 17))
  assert.deepEqual(await ended, { kind: 'detached' })
  assert.equal((await workshop.containers.inspect(id)).State.Running, true)
  const again = new Sink()
  const attached = workshop.containers.attach(id, { stdin: streamOf(Buffer.from('exit 4\n')), stdout: again })
  assert.deepEqual(await attached, { kind: 'exited', exitCode: 4 })
  await workshop.containers.remove(id)
})

test('a start that is interrupted says by which signal', { skip }, async () => {
  const stop = new AbortController()
  async function* sizes(): AsyncGenerator<{ columns: number; rows: number }> {
    stop.abort(new StrataError('cancelled', 'STRATA_TERMINATED', 'interrupted by SIGTERM'))
    yield { columns: 80, rows: 24 }
  }
  const options = { image: busybox.name, network: 'none', tty: true, attach: ['stdout'] as const }
  const { id } = await workshop.containers.create(options, busybox)
  const started = workshop.containers.start(id, { stdout: new Sink(), resizes: sizes() }, { signal: stop.signal })
  await assert.rejects(started, {
    kind: 'cancelled',
    code: 'STRATA_TERMINATED',
    message: /^Cannot start container .*: it was interrupted$/,
  })
  await workshop.containers.remove(id)
})

test('pause() and unpause() change what others see; start() of a paused container is a conflict', { skip }, async () => {
  const { id } = await workshop.containers.run({ image: busybox.name, command: ['sleep', '100'], network: 'none' }, busybox)
  await workshop.containers.pause(id)
  assert.equal((await workshop.containers.inspect(id)).State.Status, 'paused')
  await assert.rejects(workshop.containers.start(id), { code: 'STRATA_CONTAINER_PAUSED' })
  await assert.rejects(workshop.containers.exec(id, { command: ['true'] }, {}), { code: 'STRATA_CONTAINER_PAUSED' })
  await workshop.containers.unpause(id)
  assert.equal((await workshop.containers.inspect(id)).State.Status, 'running')
  await assert.rejects(workshop.containers.remove(id), { code: 'STRATA_CONTAINER_RUNNING' })
  await workshop.containers.remove(id, { force: true })
  assert.deepEqual(remains(workshop), [])
})

test('a read-only container has its own files in /etc and a tmpfs to write to; binds of files may be read-only', { skip }, async () => {
  const command = ['sh', '-c', 'grep -c localhost /etc/hosts; touch /x 2>&1; touch /tmp/x && echo wrote; touch /etc/machine 2>&1']
  const options = { command, autoRemove: true, readOnly: true, tmpfs: { '/tmp': 'size=1m' }, binds: ['/etc/hostname:/etc/machine:ro'] }
  const { stdout } = await runToEnd(workshop, busybox, options)
  assert.equal(stdout, '2\ntouch: /x: Read-only file system\nwrote\ntouch: /etc/machine: Read-only file system\n')
})

test('a command that cannot be run is told once: by the rejection, not on the error stream', { skip }, async () => {
  const options = { image: busybox.name, command: ['nothing-of-that-name'], network: 'none', autoRemove: true }
  const said: string[] = []
  // crun 1.8 says it itself now and then, when the process in the container ends before it has listened to it.
  for (let tries = 0; tries < 4 && !said.includes(''); tries += 1) {
    const stderr = new Sink()
    const { ended } = await workshop.containers.run(options, busybox, { stderr })
    await assert.rejects(ended, { code: 'STRATA_COMMAND_NOT_FOUND' })
    said.push(stderr.text)
  }
  assert.ok(said.includes(''), said.join(''))
})

test('what is written to both streams at first comes in its order', { skip }, async () => {
  const both = new Sink()
  const options = {
    image: busybox.name,
    command: ['sh', '-c', 'echo 1 >&2; sleep 0.02; echo 2; sleep 0.02; echo 3 >&2'],
    network: 'none',
    autoRemove: true,
  }
  const { ended } = await workshop.containers.run(options, busybox, { stdout: both, stderr: both })
  await ended
  assert.equal(both.text, '1\n2\n3\n')
})
