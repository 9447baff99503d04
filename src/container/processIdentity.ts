import { readFileSync } from 'node:fs'

/** A process beyond its number, which another one may get after its end or after a reboot. */
export interface ProcessIdentity {
  readonly pid: number
  /** Clock ticks from boot to its start. proc_pid_stat(5) field 22 */
  readonly startedAt: string
  readonly bootId: string
}

/** undefined when there is no such process, or only its remains (a zombie). */
export function identityOf(pid: number): ProcessIdentity | undefined {
  const startedAt = startTime(pid)
  return startedAt === undefined ? undefined : { pid, startedAt, bootId: currentBoot() }
}

export function isAlive({ pid, startedAt, bootId }: ProcessIdentity): boolean {
  return bootId === currentBoot() && startTime(pid) === startedAt
}

let own: ProcessIdentity | undefined

export function currentProcess(): ProcessIdentity {
  own ??= identityOf(process.pid)
  return own!
}

function startTime(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
    // The second field, the name, may hold spaces and parentheses.
    const [state, ...fields] = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return state === 'Z' || state === 'X' ? undefined : fields[18]
  } catch {
    return undefined
  }
}

let boot: string | undefined

function currentBoot(): string {
  boot ??= readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
  return boot
}
