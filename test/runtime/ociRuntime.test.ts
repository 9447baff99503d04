import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { openRuntime, planProcess, planResources, readRuntimeFacts } from '../../src/runtime/index.ts'
import { BusyboxMachine, SKIP, textOf } from './busyboxMachine.ts'

describe('OciRuntime, in the foreground', { skip: SKIP, timeout: 60_000 }, () => {
  let machine: BusyboxMachine
  before(async () => {
    machine = await BusyboxMachine.open()
  })
  after(() => machine[Symbol.asyncDispose]())

  test('run() gives the exit code of the process', async () => {
    assert.equal((await machine.run({ args: ['true'] })).exitCode, 0)
    assert.equal((await machine.run({ args: ['sh', '-c', 'exit 42'] })).exitCode, 42)
    assert.equal((await machine.run({ args: ['sh', '-c', 'exit 255'] })).exitCode, 255)
  })

  test('run() keeps stdout and stderr apart, and passes stdin on', async () => {
    const outcome = await machine.run({ args: ['sh', '-c', 'cat; echo out; echo err >&2'] }, {}, 'in ')
    assert.deepEqual(outcome, { exitCode: 0, stdout: 'in out\n', stderr: 'err\n' })
  })

  test('run() passes many bytes without loss', async () => {
    const input = 'x'.repeat(3_000_000)
    assert.equal((await machine.run({ args: ['sh', '-c', 'cat | wc -c'] }, {}, input)).stdout.trim(), '3000000')
  })

  test('run() says 128 and the signal for a process that a signal ended', async () => {
    const { id, directory } = await machine.bundle({ args: ['sleep', '60'] })
    const running = await machine.runtime.run({ id, bundle: directory, stdio: ['ignore', 'ignore', 'ignore'] })
    while ((await machine.runtime.state(id))?.status !== 'running') await sleep(10)
    await machine.runtime.kill(id, 9)
    assert.equal(await running.ended, 137)
  })

  test('ForegroundProcess.kill() passes a signal on to the process', async () => {
    const { id, directory } = await machine.bundle({ args: ['sh', '-c', 'trap "exit 9" TERM; echo up; while :; do sleep 0.05; done'] })
    const running = await machine.runtime.run({ id, bundle: directory, stdio: ['ignore', 'pipe', 'ignore'] })
    await new Promise(resolve => running.stdout?.once('data', resolve))
    running.kill(15)
    assert.equal(await running.ended, 9)
  })

  test('run() tells what cannot be found from what cannot be executed, as docker does', async () => {
    await writeFile(join(machine.rootfs, 'etc/plain'), 'text')
    for (const command of ['nope', '/nope']) {
      await assert.rejects(machine.run({ args: [command] }), {
        code: 'STRATA_COMMAND_NOT_FOUND',
        kind: 'notFound',
        message: new RegExp(`Cannot start container ".*": .*${command}`),
      })
    }
    for (const command of ['/etc/plain', '/etc']) {
      await assert.rejects(machine.run({ args: [command] }), { code: 'STRATA_COMMAND_NOT_EXECUTABLE' }, command)
    }
  })

  test('a file of another format is found out by the process itself, as with docker', async () => {
    await writeFile(join(machine.rootfs, 'etc/garbage'), 'garbage', { mode: 0o755 })
    const { exitCode, stderr } = await machine.run({ args: ['/etc/garbage'] })
    assert.notEqual(exitCode, 0)
    assert.match(stderr, /exec format error/i)
  })

  test('run() leaves nothing behind', async () => {
    const { id, directory } = await machine.bundle({ args: ['true'] })
    await (
      await machine.runtime.run({ id, bundle: directory, stdio: ['ignore', 'ignore', 'ignore'] })
    ).ended
    assert.equal(await machine.runtime.state(id), undefined)
  })

  test('a process sees itself as process 1, its own host name and docker’s environment', async () => {
    const text = await machine
      .shell('echo $$; hostname; env', { env: ['A=1'] }, { hostname: 'box' })
      .catch(() => machine.shell('echo $$; cat /proc/sys/kernel/hostname; env', { env: ['A=1'] }, { hostname: 'box' }))
    const [pid, hostname, ...env] = text.split('\n')
    assert.deepEqual([pid, hostname], ['1', 'box'])
    for (const variable of ['A=1', 'HOSTNAME=box', 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'])
      assert.ok(env.includes(variable), variable)
  })

  test('state(), kill() and delete() say when the runtime knows no such container', async () => {
    assert.equal(await machine.runtime.state('absent'), undefined)
    await assert.rejects(machine.runtime.kill('absent', 9), { code: 'STRATA_NO_SUCH_CONTAINER' })
    await assert.rejects(machine.runtime.start('absent'), { kind: 'notFound' })
    await assert.rejects(machine.runtime.delete('absent'), { code: 'STRATA_NO_SUCH_CONTAINER' })
    await machine.runtime.delete('absent', { force: true })
  })

  test('ids that could be paths or options are refused', async () => {
    for (const id of ['../x', '-f', '', 'a/b', 'a b', '.'])
      await assert.rejects(machine.runtime.state(id), { code: 'STRATA_INVALID_ID' }, id)
  })

  test('exec() runs one more process, with its own user, environment and exit code', async () => {
    const { id, directory, attachment } = await machine.start({ args: ['sleep', '60'] })
    attachment.close()
    assert.ok(directory.endsWith(id))
    const run = async (options: Parameters<typeof planProcess>[0]): Promise<{ code: number; text: string }> => {
      const { process } = planProcess(options, machine.facts)
      const running = await machine.runtime.exec({ id, process, stdio: ['ignore', 'pipe', 'inherit'] })
      const [text, code] = await Promise.all([textOf(running.stdout), running.ended])
      return { code, text: text.trim() }
    }
    assert.deepEqual(
      await run({
        args: ['sh', '-c', 'id -u; id -g; pwd; echo $X; exit 5'],
        user: { uid: 1000, gid: 1000, additionalGids: [] },
        cwd: '/srv',
        env: ['X=y'],
      }),
      {
        code: 5,
        text: '1000\n1000\n/srv\ny',
      },
    )
    assert.equal((await run({ args: ['sh', '-c', 'exit 255'] })).code, 255)
    await assert.rejects(run({ args: ['nope'] }), { code: 'STRATA_COMMAND_NOT_FOUND' })
    await assert.rejects(run({ args: ['/etc/passwd'] }), { code: 'STRATA_COMMAND_NOT_EXECUTABLE' })
    await machine.runtime.delete(id, { force: true })
    await assert.rejects(run({ args: ['true'] }), { kind: 'notFound' })
  })

  test('pause() stops all processes and resume() lets them go on', async () => {
    const { id, attachment } = await machine.start({ args: ['sh', '-c', 'while :; do echo tick; sleep 0.02; done'] })
    const output = attachment.output()
    const tick = async (): Promise<string> => {
      const next = await Promise.race([output.next(), sleep(300, undefined)])
      return next === undefined ? 'silence' : 'a tick'
    }
    assert.equal(await tick(), 'a tick')
    await machine.runtime.pause(id)
    assert.equal((await machine.runtime.state(id))?.status, 'paused')
    const seen = await Promise.all([tick(), tick(), tick(), tick(), tick(), tick()])
    assert.equal(seen.at(-1), 'silence')
    await assert.rejects(machine.runtime.delete(id))
    await machine.runtime.resume(id)
    assert.equal((await machine.runtime.state(id))?.status, 'running')
    assert.equal(await tick(), 'a tick')
    await machine.runtime.delete(id, { force: true })
  })

  test('processes() lists the processes of a container as the host sees them', async () => {
    const { id, pid, attachment } = await machine.start({ args: ['sh', '-c', 'sleep 60 & echo up; wait'] })
    for await (const _ of attachment.output()) break
    const pids = await machine.runtime.processes(id)
    assert.ok(pids.includes(pid))
    assert.equal(pids.length, 2)
    await machine.runtime.delete(id, { force: true })
  })

  test('limits hold, and update() changes them', async t => {
    if (machine.facts.cgroups.layout === 'none') return t.skip('no control groups on this machine')
    const { id, attachment } = await machine.start(
      { args: ['sleep', '60'] },
      { bundle: { resources: { memoryBytes: 32 * 1024 * 1024, cpus: 0.5, cpuShares: 512, pidsLimit: 20, cpusetCpus: '0' } } },
    )
    attachment.close()
    const pid = (await machine.runtime.state(id))?.pid
    const version2 = machine.facts.cgroups.layout === 'v2'
    const limit = async (controller: string, version1: string, file2: string): Promise<string> => {
      const lines = (await readFile(`/proc/${pid}/cgroup`, 'utf8')).split('\n').map(line => line.split(':'))
      const path = lines.find(([, names = '']) => (version2 ? names === '' : names.split(',').includes(controller)))?.[2] ?? ''
      const file = version2 ? join('/sys/fs/cgroup', path, file2) : join('/sys/fs/cgroup', controller, path, version1)
      return (await readFile(file, 'utf8')).trim()
    }
    assert.equal(await limit('memory', 'memory.limit_in_bytes', 'memory.max'), String(32 * 1024 * 1024))
    assert.equal(await limit('pids', 'pids.max', 'pids.max'), '20')
    assert.equal(await limit('cpu', 'cpu.cfs_quota_us', 'cpu.max'), version2 ? '50000 100000' : '50000')
    assert.equal(await limit('cpuset', 'cpuset.cpus', 'cpuset.cpus'), '0')
    const { resources } = planResources({ memoryBytes: 64 * 1024 * 1024, pidsLimit: 30 }, machine.facts)
    await machine.runtime.update(id, resources)
    assert.equal(await limit('memory', 'memory.limit_in_bytes', 'memory.max'), String(64 * 1024 * 1024))
    assert.equal(await limit('pids', 'pids.max', 'pids.max'), '30')
    assert.equal(await limit('cpu', 'cpu.cfs_quota_us', 'cpu.max'), version2 ? '50000 100000' : '50000')
    await machine.runtime.update(id, planResources({ pidsLimit: -1 }, machine.facts).resources)
    assert.ok(Number(await limit('pids', 'pids.max', 'pids.max')) >= 4_194_304)
    await machine.runtime.delete(id, { force: true })
  })

  test('a process that takes more memory than it may is killed', async t => {
    if (!machine.facts.cgroups.controllers.includes('memory')) return t.skip('no memory controller on this machine')
    const resources = { memoryBytes: 16 * 1024 * 1024, memorySwapBytes: 16 * 1024 * 1024 }
    const { exitCode } = await machine.run({ args: ['sh', '-c', 'x=a; while :; do x=$x$x; done'] }, { resources })
    assert.equal(exitCode, 137)
  })

  test('a fork bomb ends at the limit of processes', async t => {
    if (!machine.facts.cgroups.controllers.includes('pids')) return t.skip('no pids controller on this machine')
    const { stderr } = await machine.run(
      { args: ['sh', '-c', 'for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 1 & done; exit 0'] },
      { resources: { pidsLimit: 8 } },
    )
    assert.match(stderr, /can't fork/)
  })

  test('ulimits reach the process', async () => {
    const text = await machine.shell('ulimit -n; ulimit -Hn; ulimit -c; ulimit -Hc', {
      ulimits: [
        { name: 'core', soft: 0, hard: -1 },
        { name: 'nofile', soft: 512, hard: 600 },
      ],
    })
    assert.deepEqual(text.split('\n'), ['512', '600', '0', 'unlimited'])
  })

  test('a container runs without limits where there are no control groups, in the foreground and under a monitor', () => {
    const program = `
      const { openMonitor, openRuntime, planBundle, readRuntimeFacts, waitExit, writeBundle } = await import('${join(import.meta.dirname, '../../src/runtime/index.ts')}')
      const facts = await readRuntimeFacts()
      const directory = '${join(machine.directory, 'ungrouped')}'
      const resources = { memoryBytes: 2 ** 25 }
      const { spec, warnings } = planBundle({ id: 'ungrouped', rootfs: '${machine.rootfs}', process: { args: ['sh', '-c', 'exit 4'] }, resources }, facts)
      await writeBundle(directory, spec)
      const runtime = await openRuntime({ stateDirectory: '${join(machine.directory, 'state')}', facts })
      const stdio = ['ignore', 'inherit', 'inherit']
      const direct = await (await runtime.run({ id: 'ungrouped', bundle: directory, stdio })).ended
      await (await openMonitor({ runtime })).create({ id: 'ungrouped', directory })
      await runtime.start('ungrouped')
      const { exitCode } = await waitExit(directory, 'ungrouped')
      await runtime.delete('ungrouped')
      console.log(JSON.stringify([facts.cgroups.layout, warnings.length, direct, exitCode]))`
    const hide = 'for each in $(grep -o " /sys/fs/cgroup[^ ]*" /proc/self/mountinfo | sort -r); do umount $each; done; exec "$@"'
    const args = [
      '--mount',
      '--propagation',
      'private',
      '--',
      'sh',
      '-c',
      hide,
      'sh',
      process.execPath,
      '--input-type=module',
      '-e',
      program,
    ]
    assert.equal(execFileSync('unshare', args, { encoding: 'utf8' }), '["none",1,4,4]\n')
  })

  test('openRuntime() says how to get what is missing', async () => {
    const facts = await readRuntimeFacts()
    await assert.rejects(openRuntime({ stateDirectory: machine.directory, facts, program: '/nowhere/crun' }), {
      code: 'STRATA_NO_RUNTIME',
      hint: 'Install it, for example with `apt-get install crun`.',
    })
    await assert.rejects(openRuntime({ stateDirectory: machine.directory, facts, program: '/bin/sh' }), { code: 'STRATA_UNKNOWN_RUNTIME' })
  })

  test('version() and features() tell of the program', async () => {
    assert.match(await machine.runtime.version(), /^\d+\.\d+/)
    const features = await machine.runtime.features()
    assert.ok(features === undefined || 'ociVersionMin' in features)
  })
})
