import { readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs'

/** A process beyond its number, which is used again: with the time it started at, in clock ticks since boot. */
export interface ProcessIdentity {
  readonly pid: number
  readonly startedAt: string
}

export function currentProcess(): ProcessIdentity {
  return { pid: process.pid, startedAt: startTime(process.pid) ?? '' }
}

/** Whether the process still runs; a zombie does not. */
export function isAlive(identity: ProcessIdentity): boolean {
  return startTime(identity.pid) === identity.startedAt
}

/** Field 22 of /proc/<pid>/stat (proc_pid_stat(5)); the second, the name, may hold spaces and parentheses. */
function startTime(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    const [state, ...fields] = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return state === 'Z' || state === 'X' ? undefined : fields[18]
  } catch {
    return undefined
  }
}

/** Says of a path whether any process of this machine is in the network namespace that it keeps. */
export function namespacesInUse(): (namespacePath: string) => boolean {
  const used = new Set<string>()
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue
    try {
      used.add(readlinkSync(`/proc/${name}/ns/net`))
    } catch {
      // It ended meanwhile.
    }
  }
  return path => {
    try {
      return used.has(`net:[${statSync(path).ino}]`)
    } catch {
      return false
    }
  }
}

let bootId: string | undefined

/** Changes with every start of the kernel. */
export function currentBoot(): string {
  bootId ??= readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
  return bootId
}
