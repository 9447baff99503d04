import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { attach, openMonitor, planProcess, readExit, readLog, resizeTerminal, waitExit } from '../../src/runtime/index.ts'
import { BusyboxMachine, outputOf, SKIP } from './busyboxMachine.ts'

describe('Monitor', { skip: SKIP, timeout: 60_000 }, () => {
  let machine: BusyboxMachine
  before(async () => {
    machine = await BusyboxMachine.open()
  })
  after(() => machine[Symbol.asyncDispose]())

  const shell = (script: string): { args: string[] } => ({ args: ['sh', '-c', script] })

  test('create() and start() run a container whose output is attached to, logged and ended', async () => {
    const path = join(machine.directory, 'one.log')
    const { id, directory, monitorPid, attachment } = await machine.start(shell('echo out; echo err >&2; printf part; exit 7'), {
      log: { path },
    })
    assert.deepEqual(await outputOf(attachment), { stdout: 'out\npart', stderr: 'err\n' })
    const exit = await waitExit(directory, id, { monitorPid })
    assert.deepEqual({ ...exit, exitedAt: undefined }, { exitCode: 7, exitedAt: undefined, oomKilled: false })
    assert.ok(Math.abs(Date.now() - exit.exitedAt.getTime()) < 60_000)
    const log: string[] = []
    for await (const record of readLog(path)) log.push(`${record.stream}: ${record.bytes.toString()}`)
    assert.deepEqual(log.toSorted(), ['stderr: err\n', 'stdout: out\n', 'stdout: part'])
  })

  test('readExit() knows nothing while a container runs', async () => {
    const { id, directory, monitorPid } = await machine.start({ args: ['sleep', '60'] })
    assert.equal(await readExit(directory, id), undefined)
    await machine.runtime.kill(id, 9)
    assert.equal((await waitExit(directory, id, { monitorPid })).exitCode, 137)
  })

  test('stdin reaches the process and ends', async () => {
    const { id, directory, attachment } = await machine.start(shell('wc -c'), { stdin: true })
    const output = outputOf(attachment)
    await attachment.write(Buffer.from('x'.repeat(100_000)))
    attachment.endInput()
    assert.equal((await output).stdout.trim(), '100000')
    assert.equal((await waitExit(directory, id)).exitCode, 0)
  })

  test('without stdin a process reads the end of file at once', async () => {
    const { attachment } = await machine.start(shell('cat; echo done'))
    assert.equal((await outputOf(attachment)).stdout, 'done\n')
  })

  test('leaveStdinOpen keeps stdin open when whoever was attached has gone', async () => {
    const { directory, attachment } = await machine.start(shell('read a; echo "$a"; read b; echo "$b"'), {
      stdin: true,
      leaveStdinOpen: true,
    })
    await attachment.write(Buffer.from('first\n'))
    attachment.close()
    await sleep(100)
    const second = attach(directory)
    await second.write(Buffer.from('second\n'))
    assert.match((await outputOf(second)).stdout, /second\n$/)
  })

  test('several attachments get the same output', async () => {
    const { directory, attachment } = await machine.start(shell('read x; echo to all; read x'), { stdin: true })
    const second = attach(directory)
    await second.write(Buffer.from('go\n'))
    const outputs = [attachment, second].map(async each => {
      for await (const { bytes } of each.output()) return Buffer.from(bytes).toString()
      return ''
    })
    assert.deepEqual(await Promise.all(outputs), ['to all\n', 'to all\n'])
    attachment.close()
    second.close()
  })

  test('a terminal has the size that it is told', async () => {
    const { directory, attachment } = await machine.start(
      { ...shell('test -t 0 && test -t 1 && echo tty; read x; stty size'), terminal: true },
      { stdin: true },
    )
    await attachment.resize({ height: 33, width: 111 })
    await sleep(50)
    await attachment.write(Buffer.from('\n'))
    const { stdout } = await outputOf(attachment)
    assert.match(stdout, /^tty\r\n/)
    assert.match(stdout, /33 111\r\n$/)
    await resizeTerminal(directory, { height: 1, width: 1 })
  })

  test('a terminal turns control-C into SIGINT', async () => {
    const { id, directory, attachment } = await machine.start(
      { ...shell('trap "exit 5" INT; echo up; while :; do sleep 0.05; done'), terminal: true },
      { stdin: true },
    )
    for await (const { bytes } of attachment.output()) if (Buffer.from(bytes).includes('up')) break
    const again = attach(directory)
    await again.write(Buffer.from('\u0003'))
    assert.equal((await waitExit(directory, id)).exitCode, 5)
    again.close()
  })

  test('attach() says when nothing runs', async () => {
    const { id, directory, attachment } = await machine.start({ args: ['true'] })
    await outputOf(attachment)
    await waitExit(directory, id)
    assert.throws(
      () => attach(directory),
      (error: { kind: string }) => ['notFound', 'unavailable'].includes(error.kind),
    )
  })

  test('the exit command is called with its arguments after the exit code is written', async () => {
    const { id, directory } = await machine.bundle({ args: ['sh', '-c', 'exit 3'] })
    const mark = join(machine.directory, 'mark')
    const script = 'echo "$(cat "$1") $2" > "$3.tmp" && mv "$3.tmp" "$3"'
    await machine.monitor.create({ id, directory, exitCommand: ['/bin/sh', '-c', script, 'sh', join(directory, id), 'two  words', mark] })
    await machine.runtime.start(id)
    for (const deadline = Date.now() + 30_000; !existsSync(mark) && Date.now() < deadline;) await sleep(20)
    assert.equal(await readFile(mark, 'utf8'), '3 two  words\n')
  })

  test('create() says what the runtime says, and leaves no monitor behind', async () => {
    const { id, directory } = await machine.bundle({ args: ['nope'] })
    await assert.rejects(machine.monitor.create({ id, directory }), {
      code: 'STRATA_COMMAND_NOT_FOUND',
      message: /^Cannot create container ".*": executable file "nope" not found in \$PATH/,
    })
    assert.equal(monitorsOf(directory), 0)
    await assert.rejects(machine.monitor.create({ id: 'x', directory: '/nowhere' }))
  })

  test('openMonitor() and create() say how to get conmon', async () => {
    const monitor = await openMonitor({ runtime: machine.runtime, program: '/nowhere/conmon' })
    const { id, directory } = await machine.bundle({ args: ['true'] })
    await assert.rejects(monitor.create({ id, directory }), {
      code: 'STRATA_NO_MONITOR',
      hint: 'Install it, for example with `apt-get install conmon`.',
    })
  })

  test('exec() attaches before the process starts, and its end is told in its own directory', async () => {
    const { id, attachment } = await machine.start({ args: ['sleep', '60'] })
    attachment.close()
    const { process } = planProcess({ args: ['sh', '-c', 'echo first; cat; echo err >&2; exit 9'] }, machine.facts)
    const directory = join(machine.directory, 'session')
    const session = await machine.monitor.exec({ id, directory, process, stdin: true, attach: true })
    assert.ok(session.attachment !== undefined)
    const output = outputOf(session.attachment)
    await session.attachment.write(Buffer.from('input\n'))
    session.attachment.endInput()
    assert.deepEqual(await output, { stdout: 'first\ninput\n', stderr: 'err\n' })
    assert.equal((await waitExit(directory, id, { monitorPid: session.monitorPid })).exitCode, 9)
    assert.equal((await machine.runtime.state(id))?.status, 'running')
    await machine.runtime.delete(id, { force: true })
  })

  test('exec() has a terminal of its own', async () => {
    const { id, attachment } = await machine.start({ args: ['sleep', '60'] })
    attachment.close()
    const { process } = planProcess({ args: ['sh', '-c', 'tty; read x; stty size'], terminal: true }, machine.facts)
    const session = await machine.monitor.exec({ id, directory: join(machine.directory, 'tty'), process, stdin: true, attach: true })
    await session.attachment?.resize({ height: 20, width: 60 })
    await sleep(50)
    await session.attachment?.write(Buffer.from('\n'))
    assert.ok(session.attachment !== undefined)
    assert.match((await outputOf(session.attachment)).stdout, /^\/dev\/pts\/\d+\r\n[^]*20 60\r\n$/)
    await machine.runtime.delete(id, { force: true })
  })

  test('exec() without attaching goes on alone', async () => {
    const { id, attachment } = await machine.start({ args: ['sleep', '60'] })
    attachment.close()
    const { process } = planProcess({ args: ['sh', '-c', 'sleep 0.1; exit 4'] }, machine.facts)
    const directory = join(machine.directory, 'detached')
    const { monitorPid } = await machine.monitor.exec({ id, directory, process })
    assert.equal((await waitExit(directory, id, { monitorPid })).exitCode, 4)
    await machine.runtime.delete(id, { force: true })
  })

  test('exec() says when the command is not there or the container does not run', async () => {
    const { id, attachment } = await machine.start({ args: ['sleep', '60'] })
    attachment.close()
    const session = (args: string[], name: string, attached: boolean): Promise<unknown> =>
      machine.monitor.exec({
        id,
        directory: join(machine.directory, name),
        process: planProcess({ args }, machine.facts).process,
        attach: attached,
      })
    await assert.rejects(session(['nope'], 'e1', true), { code: 'STRATA_COMMAND_NOT_FOUND' })
    await assert.rejects(session(['nope'], 'e2', false), { code: 'STRATA_COMMAND_NOT_FOUND' })
    await assert.rejects(session(['/etc/passwd'], 'e3', true), { code: 'STRATA_COMMAND_NOT_EXECUTABLE' })
    await machine.runtime.delete(id, { force: true })
    await assert.rejects(session(['true'], 'e4', true), { kind: 'notFound' })
  })

  test('a container survives the sudden death of the process that started it', async () => {
    const { id, directory } = await machine.bundle(shell('sleep 0.5; echo alive; exit 6'))
    const log = join(machine.directory, 'survivor.log')
    const program = `
      const { Monitor, OciRuntime, openMonitor, openRuntime, readRuntimeFacts } = await import('${join(import.meta.dirname, '../../src/runtime/index.ts')}')
      const runtime = await openRuntime({ stateDirectory: ${JSON.stringify(join(machine.directory, 'state'))}, facts: await readRuntimeFacts() })
      const monitor = await openMonitor({ runtime })
      console.log(JSON.stringify(await monitor.create({ id: '${id}', directory: '${directory}', log: { path: '${log}' } })))
      await runtime.start('${id}')
      console.log('started')
      setInterval(() => {}, 1000)`
    const child = spawn(process.execPath, ['--input-type=module', '-e', program], { stdio: ['ignore', 'pipe', 'inherit'], detached: true })
    let said = ''
    for await (const chunk of child.stdout) {
      said += String(chunk)
      if (said.includes('started')) break
    }
    assert.ok(child.pid !== undefined)
    process.kill(-child.pid, 'SIGKILL')
    await once(child, 'close')
    const { monitorPid } = JSON.parse(said.split('\n')[0] ?? '') as { monitorPid: number }
    assert.equal((await waitExit(directory, id, { monitorPid })).exitCode, 6)
    assert.match(await readFile(log, 'utf8'), /alive/)
  })

  test('waitExit() says when a monitor was killed and the exit code is lost', async () => {
    const { id, directory, monitorPid, attachment } = await machine.start({ args: ['sleep', '60'] })
    attachment.close()
    process.kill(monitorPid, 'SIGKILL')
    await assert.rejects(waitExit(directory, id, { monitorPid }), { code: 'STRATA_MONITOR_LOST' })
    await machine.runtime.delete(id, { force: true })
  })

  test('waitExit() can be cancelled', async () => {
    const { id, directory, attachment } = await machine.start({ args: ['sleep', '60'] })
    attachment.close()
    await assert.rejects(waitExit(directory, id, { signal: AbortSignal.timeout(50) }), { code: 'STRATA_CANCELLED' })
    await assert.rejects(waitExit(directory, id, { signal: AbortSignal.abort() }), { code: 'STRATA_CANCELLED' })
    await machine.runtime.delete(id, { force: true })
  })

  test('a container that ran out of memory is told apart', async t => {
    if (!machine.facts.cgroups.controllers.includes('memory')) return t.skip('no memory controller on this machine')
    const resources = { memoryBytes: 16 * 1024 * 1024, memorySwapBytes: 16 * 1024 * 1024 }
    const { id, directory } = await machine.start(shell('x=a; while :; do x=$x$x; done'), { bundle: { resources } })
    const { exitCode, oomKilled } = await waitExit(directory, id)
    assert.deepEqual({ exitCode, oomKilled }, { exitCode: 137, oomKilled: true })
  })

  test('a log starts afresh at its limit', async () => {
    const path = join(machine.directory, 'small.log')
    const { id, directory, attachment } = await machine.start(shell('for i in $(seq 1 2000); do echo line $i; done'), {
      log: { path, maxBytes: 4096 },
    })
    attachment.close()
    await waitExit(directory, id)
    assert.ok((await readFile(path)).length <= 4096 + 1024)
    const last: string[] = []
    for await (const record of readLog(path, { tail: 1 })) last.push(record.bytes.toString())
    assert.deepEqual(last, ['line 2000\n'])
  })

  test('the monitor keeps no variable of ours but those that its exit command needs', async () => {
    process.env['STRATA_TEST_SECRET'] = 'x'
    const { id, monitorPid, attachment } = await machine.start({ args: ['sleep', '60'] })
    attachment.close()
    const names = (await readFile(`/proc/${monitorPid}/environ`, 'utf8')).split('\0').map(variable => variable.split('=')[0])
    const allowed = new Set(['', 'PATH', 'HOME', 'TMPDIR', 'XDG_DATA_HOME', 'XDG_RUNTIME_DIR', 'STRATA_ROOT', '_OCI_SYNCPIPE'])
    assert.deepEqual(
      names.filter(name => !allowed.has(name ?? '')),
      [],
    )
    await machine.runtime.delete(id, { force: true })
  })

  function monitorsOf(directory: string): number {
    const listing = execFileSync('ps', ['-eo', 'args'], { encoding: 'utf8' })
    return listing.split('\n').filter(line => line.startsWith(machine.monitor.path) && line.includes(directory)).length
  }
})
