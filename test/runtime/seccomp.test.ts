import assert from 'node:assert/strict'
import { existsSync, lstatSync, readlinkSync } from 'node:fs'
import { mkdir, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { type BundleMount, type BundleOptions, parseSeccompProfile, planProcess, type ProcessOptions } from '../../src/runtime/index.ts'
import { BusyboxMachine, SKIP, textOf } from './busyboxMachine.ts'

/*
 * Programs of this machine in a container whose root file system is this machine's, read-only: Node
 * with its door to system calls asks the kernel for calls by number, x86-64's.
 */

const PROJECT = join(import.meta.dirname, '../..')
const HOST_DIRECTORIES = ['/usr', '/bin', '/sbin', '/lib', '/lib64', '/etc', '/var/lib/dpkg']

/** Name → number and arguments that are harmless and fail with another error than EPERM when the call is let through. */
const CALLS: Readonly<Record<string, readonly [number: number, ...args: number[]]>> = {
  mount: [165, 0, 0, 0, 0, 0],
  umount2: [166, 0, 0xffff],
  pivot_root: [155, 0, 0],
  setns: [308, -1, 0],
  unshare_user: [272, 0x1000_0000],
  clone_user: [56, 0x1000_0011, 0, 0, 0, 0],
  clone3: [435, 0, 0],
  kexec_load: [246, 0, 0, 0, 0],
  keyctl: [250, 0, -3, 0],
  add_key: [248, 0, 0, 0, 0, 0],
  request_key: [249, 0, 0, 0, 0],
  bpf: [321, 9999, 0, 0],
  perf_event_open: [298, 0, 0, 0, 0, 0],
  io_uring_setup: [425, 0, 0],
  userfaultfd: [323, 0xffff],
  init_module: [175, 0, 0, 0],
  open_by_handle_at: [304, -1, 0, 0],
  process_vm_readv: [310, 0, 0, 0, 0, 0, 1],
  personality_no_randomize: [135, 0x4_0000],
  personality_ask: [135, 0xffff_ffff],
  socket_alg: [41, 38, 5, 0],
  socket_vsock: [41, 40, 1, 0],
  socket_unix: [41, 1, 1, 0],
  ptrace: [101, 0xffff, 0, 0, 0],
  unknown: [1000],
}

const PROGRAM = `
const koffi = require('koffi')
const libc = koffi.load('libc.so.6')
const syscall = libc.func('long syscall(long, long, long, long, long, long, long)')
const errno = libc.func('int *__errno_location()')
const results = {}
for (const [name, [number, ...args]] of Object.entries(JSON.parse(process.argv[1]))) {
  const result = Number(syscall(number, ...args, ...Array(6 - args.length).fill(0)))
  results[name] = result >= 0 ? 0 : koffi.errno()
  // A clone that was let through is a second process here: it must not go on.
  if (name === 'clone_user' && result === 0) process.kill(process.pid, 9)
}
console.log(JSON.stringify(results))
`

const EPERM = 1
const ENOSYS = 38

describe(
  'the default seccomp profile',
  { skip: SKIP || (process.arch === 'x64' ? false : 'the numbers of this test are those of x86-64'), timeout: 60_000 },
  () => {
    let machine: BusyboxMachine
    let mounts: BundleMount[]
    before(async () => {
      machine = await BusyboxMachine.open()
      mounts = [
        { kind: 'bind', source: PROJECT, target: '/project', readonly: true },
        { kind: 'tmpfs', target: '/tmp' },
      ]
      for (const path of HOST_DIRECTORIES.filter(each => existsSync(each))) {
        const target = join(machine.rootfs, path)
        if (lstatSync(path).isSymbolicLink()) await symlink(readlinkSync(path), target).catch(() => undefined)
        else mounts.push({ kind: 'bind', source: path, target: path, readonly: true })
      }
      await mkdir(join(machine.rootfs, 'project'))
    })
    after(() => machine[Symbol.asyncDispose]())

    const onHostFiles = (
      args: readonly string[],
      process: Partial<ProcessOptions> = {},
      options: Partial<BundleOptions> = {},
    ): ReturnType<BusyboxMachine['run']> => machine.run({ args, cwd: '/project', ...process }, { mounts, ...options })

    async function tryCalls(process: Partial<ProcessOptions> = {}, options: Partial<BundleOptions> = {}): Promise<Record<string, number>> {
      const node = globalThis.process.execPath.replace(PROJECT, '/project')
      const { stdout, stderr, exitCode } = await onHostFiles([node, '-e', PROGRAM, JSON.stringify(CALLS)], process, options)
      assert.equal(exitCode, 0, stderr)
      return JSON.parse(stdout) as Record<string, number>
    }

    test('refuses what docker’s refuses, and lets the rest through', async () => {
      const found = await tryCalls()
      const refused = Object.keys(CALLS).filter(name => found[name] === EPERM)
      assert.deepEqual(
        refused.toSorted(),
        [
          'add_key',
          'bpf',
          'clone_user',
          'init_module',
          'io_uring_setup',
          'kexec_load',
          'keyctl',
          'mount',
          'open_by_handle_at',
          'perf_event_open',
          'personality_no_randomize',
          'pivot_root',
          'process_vm_readv',
          'request_key',
          'setns',
          'socket_alg',
          'socket_vsock',
          'umount2',
          'unshare_user',
          'userfaultfd',
        ].toSorted(),
      )
      assert.deepEqual([found['personality_ask'], found['socket_unix']], [0, 0])
      assert.deepEqual([found['clone3'], found['unknown']], [ENOSYS, ENOSYS])
      assert.notEqual(found['ptrace'], EPERM)
    })

    test('is what refuses: without it the same calls get further', async () => {
      const found = await tryCalls({}, { seccomp: 'unconfined' })
      for (const name of ['keyctl', 'add_key', 'request_key', 'io_uring_setup', 'personality_no_randomize', 'unshare_user'])
        assert.notEqual(found[name], EPERM, name)
    })

    test('goes with the capabilities of the container, but never opens keyrings or kexec', async () => {
      const found = await tryCalls({ capabilities: { add: ['ALL'] } })
      for (const name of ['mount', 'umount2', 'setns', 'bpf', 'open_by_handle_at', 'process_vm_readv'])
        assert.notEqual(found[name], EPERM, name)
      for (const name of ['keyctl', 'add_key', 'kexec_load', 'io_uring_setup', 'pivot_root']) assert.equal(found[name], EPERM, name)
    })

    test('holds for exec sessions too', async () => {
      const { id, attachment } = await machine.start({ args: ['sleep', '60'] })
      attachment.close()
      const { process } = planProcess({ args: ['sh', '-c', 'grep Seccomp: /proc/self/status; unshare -U true'] }, machine.facts)
      const running = await machine.runtime.exec({ id, process, stdio: ['ignore', 'pipe', 'pipe'] })
      const [stdout, stderr, code] = await Promise.all([textOf(running.stdout), textOf(running.stderr), running.ended])
      assert.match(stdout, /2$/m)
      assert.match(stderr, /Operation not permitted/)
      assert.notEqual(code, 0)
      await machine.runtime.delete(id, { force: true })
    })

    test('a profile that is given is the one that holds', async () => {
      const profile = {
        defaultAction: 'SCMP_ACT_ALLOW',
        syscalls: [{ names: ['mkdir', 'mkdirat'], action: 'SCMP_ACT_ERRNO', errnoRet: 13 }],
      }
      const { stderr, exitCode } = await machine.run(
        { args: ['mkdir', '/tmp/x'] },
        { seccomp: parseSeccompProfile(JSON.stringify(profile), machine.facts, []) },
      )
      assert.notEqual(exitCode, 0)
      assert.match(stderr, /Permission denied/)
    })

    test('runc takes the same rules from the profile', async t => {
      if (!existsSync('/usr/sbin/runc') && !existsSync('/usr/bin/runc')) return t.skip('runc is not installed')
      await using other = await BusyboxMachine.open({ program: existsSync('/usr/sbin/runc') ? '/usr/sbin/runc' : '/usr/bin/runc' })
      const { stdout, stderr } = await other.run({ args: ['sh', '-c', 'grep Seccomp: /proc/self/status; unshare -U true; echo after'] })
      assert.match(stdout, /2\nafter\n$/)
      assert.match(stderr, /Operation not permitted/)
      await assert.rejects(other.run({ args: ['nope'] }), { code: 'STRATA_COMMAND_NOT_FOUND' })
    })

    test('normal programs work under it', async () => {
      const node = globalThis.process.execPath.replace(PROJECT, '/project')
      const worker = `const { Worker } = require('worker_threads'); new Worker('process.exit(3)', { eval: true }).on('exit', code => { require('fs').writeFileSync('/tmp/x', 'y'); require('child_process').execFileSync('true'); process.exit(code) })`
      assert.equal((await onHostFiles([node, '-e', worker])).exitCode, 3)
      const shell = (script: string): Promise<{ exitCode: number; stdout: string; stderr: string }> =>
        onHostFiles(['/bin/sh', '-ec', script])
      const pipeline = await shell(
        'cd /tmp; mkdir a; echo hi > a/f; tar cf - a | tar tf - | sort; cp -a a b; chown 1:1 b; chmod 4755 b/f; ln -s x l; mkfifo p; touch -d 2001-01-01 b/f; dpkg -l dpkg | tail -1 | cut -c1-2',
      )
      assert.equal(pipeline.stdout, 'a/\na/f\nii\n', pipeline.stderr)
      if (existsSync('/usr/bin/apt-get')) {
        const apt = await shell(
          'mkdir -p /tmp/apt; apt-get -o Dir::State=/tmp/apt -o Dir::Cache=/tmp/apt -o Dir::State::status=/var/lib/dpkg/status -s -q install --no-download dpkg',
        )
        assert.match(apt.stdout, /dpkg is already the newest|0 upgraded/, apt.stderr)
      }
    })
  },
)
