import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

/** Resident memory of a set of processes at one moment, in bytes. */
export interface Resident {
  /** Sum over the processes; pages that several map count several times. */
  readonly now: number
  /** The highest mark that any single process has reached. */
  readonly largest: number
}

/**
 * A cgroup (version 2) in which one contender's command and daemon run. The kernel adds up the CPU time
 * of all processes in it, also of those that have ended and of those that nobody waited for, so a
 * daemon's work counts like a command's. Needs root and a mounted cgroup2 hierarchy, a bare one too.
 */
export class ControlGroup implements AsyncDisposable {
  readonly path: string

  constructor(name: string) {
    this.path = join(hierarchy(), `strata-bench-${process.pid}-${name}`)
    mkdirSync(this.path, { recursive: true })
  }

  /** Where a process writes `0` to enter. */
  get door(): string {
    return join(this.path, 'cgroup.procs')
  }

  /** User and system time so far, in seconds. */
  cpuSeconds(): number {
    const usage = /^usage_usec (\d+)$/m.exec(readFileSync(join(this.path, 'cpu.stat'), 'utf8'))?.[1]
    if (usage === undefined) throw new Error(`Cannot read the CPU time of ${this.path}: no usage_usec in cpu.stat`)
    return Number(usage) / 1e6
  }

  processes(): readonly number[] {
    return readFileSync(this.door, 'utf8').split('\n').filter(Boolean).map(Number)
  }

  resident(): Resident {
    let now = 0
    let largest = 0
    for (const pid of this.processes()) {
      const status = readIfAlive(`/proc/${pid}/status`)
      now += kilobytes(status, 'VmRSS') * 1024
      largest = Math.max(largest, kilobytes(status, 'VmHWM') * 1024)
    }
    return { now, largest }
  }

  /** Lets the high-water marks of the processes that run now (daemons) start again from what they hold now. */
  forgetPeaks(): void {
    for (const pid of this.processes()) {
      try {
        writeFileSync(`/proc/${pid}/clear_refs`, '5')
      } catch {
        // It has ended.
      }
    }
  }

  /** Ends what is left in the group, which is ours alone, and removes it. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (let attempt = 0; existsSync(this.path); attempt += 1) {
      try {
        rmdirSync(this.path)
      } catch (error) {
        if (attempt === 100) throw error
        if (attempt === 40) for (const pid of this.processes()) process.kill(pid, 'SIGKILL')
        await sleep(50)
      }
    }
  }
}

function hierarchy(): string {
  for (const line of readFileSync('/proc/self/mountinfo', 'utf8').split('\n')) {
    const [mount = '', source = ''] = line.split(' - ')
    const target = mount.split(' ')[4]
    if (source.startsWith('cgroup2 ') && target?.startsWith('/sys/')) return target
  }
  throw new Error('Cannot measure CPU time: no cgroup2 hierarchy is mounted below /sys')
}

function readIfAlive(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}

function kilobytes(status: string, key: string): number {
  const at = status.indexOf(`\n${key}:`)
  return at === -1 ? 0 : Number.parseInt(status.slice(at + key.length + 2), 10)
}
