import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { findProgram } from '../../src/base/index.ts'

/** Why no system calls can be counted here; false when they can. */
export const whyNoSystemCalls: string | false = (await findProgram('strace')) === undefined ? 'there is no strace' : false

/** The `nth` call of this name by a thread of this name, from the moment when somebody looks. */
export interface KillPoint {
  readonly thread: string
  readonly call: string
  readonly nth: number
}

/** Calls that change what is on a disk, or what others see of it. */
const CHANGES = [
  ...['mkdir', 'mkdirat', 'rmdir', 'unlink', 'unlinkat', 'rename', 'renameat', 'renameat2', 'link', 'linkat', 'symlink', 'symlinkat'],
  ...['mknod', 'mknodat', 'write', 'pwrite64', 'writev', 'pwritev', 'truncate', 'ftruncate', 'fallocate', 'copy_file_range', 'sendfile'],
  ...['fsync', 'fdatasync', 'syncfs', 'chmod', 'fchmod', 'fchmodat', 'fchmodat2', 'chown', 'lchown', 'fchown', 'fchownat'],
  ...['utimensat', 'setxattr', 'lsetxattr', 'fsetxattr', 'removexattr', 'lremovexattr', 'fremovexattr'],
  ...['mount', 'umount2', 'flock'],
]
/** Calls on a mount that has no place yet. */
const MOUNTING = ['fsconfig', 'fsmount', 'move_mount', 'open_tree', 'mount_setattr']
/** Calls that change something where their arguments say so. */
const SOMETIMES: Readonly<Record<string, RegExp>> = {
  open: /O_CREAT|O_TRUNC/,
  openat: /O_CREAT|O_TRUNC/,
  openat2: /O_CREAT|O_TRUNC/,
  ioctl: /FICLONE/,
}

function changes(call: string, args: string, directory: string): boolean {
  return MOUNTING.includes(call) || (args.includes(directory) && SOMETIMES[call]?.test(args) !== false)
}

/**
 * Watches the threads that a process has now, until it ends.
 *
 * @returns resolves when it watches; what that resolves with are the calls that change something in a directory
 */
export async function watchChanges(pid: number, directory: string): Promise<{ readonly ended: Promise<readonly KillPoint[]> }> {
  const threads = threadsOf(pid)
  const calls = [...CHANGES, ...MOUNTING, ...Object.keys(SOMETIMES)].map(call => `?${call}`)
  const log = join(tmpdir(), `strata-calls-${pid}`)
  const strace = await attach(
    threads.map(({ id }) => id),
    ['-o', log, '-y', '-e', `trace=${calls.join(',')}`],
  )
  const names = new Map(threads.map(({ id, name }) => [id, name]))
  const ended = once(strace, 'close').then(() => {
    const text = readFileSync(log, 'latin1')
    rmSync(log)
    return pointsIn(text, names, directory)
  })
  return { ended }
}

function pointsIn(log: string, names: ReadonlyMap<number, string>, directory: string): readonly KillPoint[] {
  const counts = new Map<string, number>()
  const points: KillPoint[] = []
  for (const line of log.split('\n')) {
    const [, id, call, args] = /^(\d+) +(\w+)\((.*)$/.exec(line) ?? []
    if (call === undefined) continue
    const nth = (counts.get(`${id} ${call}`) ?? 0) + 1
    counts.set(`${id} ${call}`, nth)
    if (changes(call, args!, directory)) points.push({ thread: names.get(Number(id))!, call, nth })
  }
  return points
}

/**
 * Has a process killed when it is about to make a call: the kernel looks for SIGKILL after the tracer's stop at the entry, and
 * does not make the call any more. What the calls before it did is done.
 */
export async function killBefore(pid: number, { thread, call, nth }: KillPoint): Promise<void> {
  const id = threadsOf(pid).find(({ name }) => name === thread)?.id
  assert.notEqual(id, undefined, `There is no thread named ${thread}`)
  await attach([id!], ['-o', '/dev/null', '-e', `trace=${call}`, '-e', `inject=${call}:signal=KILL:when=${nth}`])
}

/** Without -f, and so without other threads, each of which would be counted by itself. */
async function attach(ids: readonly number[], options: readonly string[]): Promise<ChildProcess> {
  const strace = spawn('strace', [...options, ...ids.flatMap(id => ['-p', String(id)])], { stdio: ['ignore', 'ignore', 'pipe'] })
  const { promise, resolve, reject } = Promise.withResolvers<ChildProcess>()
  let said = ''
  strace.stderr.on('data', (chunk: Buffer) => {
    said += chunk.toString()
    if (said.match(/attached$/gm)?.length === ids.length) resolve(strace)
  })
  strace.once('close', () => reject(new Error(`Cannot attach strace: ${said}`)))
  return promise
}

interface Thread {
  readonly id: number
  readonly name: string
}

/**
 * The main thread, and one of each other kind that touches files. A thread has the name of the one that made it until it gives
 * itself its own.
 */
function threadsOf(pid: number): readonly Thread[] {
  const threads = readdirSync(`/proc/${pid}/task`).map(id => ({
    id: Number(id),
    name: readFileSync(`/proc/${pid}/task/${id}/comm`, 'utf8').trim(),
  }))
  const others = ['libuv-worker', 'layer'].flatMap(name => threads.find(thread => thread.name === name) ?? [])
  return [{ id: pid, name: 'main' }, ...others]
}
