import { readFileSync, readlinkSync } from 'node:fs'

/**
 * A process beyond its number, which is given to another one after its end or after a reboot, and
 * counts from one in every pid namespace.
 */
export interface ProcessIdentity {
  readonly pid: number
  /** Clock ticks from boot to its start. proc_pid_stat(5) field 22 */
  readonly startedAt: string
  readonly bootId: string
  /** Absent is the one of whoever looks. */
  readonly pidNamespace?: string
}

/** undefined when there is no such process, or only its remains (a zombie). */
export function identityOf(pid: number): ProcessIdentity | undefined {
  const startedAt = startTimeOf(pid)
  return startedAt === undefined ? undefined : { pid, startedAt, bootId: currentBoot(), pidNamespace: pidNamespace() }
}

let own: ProcessIdentity | undefined

export function currentProcess(): ProcessIdentity {
  own ??= identityOf(process.pid)
  return own!
}

/** Tells whether the process still runs. One of another pid namespace cannot be seen from here: it lasts until the next boot. */
export function isAlive(process: ProcessIdentity | string): boolean {
  const { pid, startedAt, bootId, pidNamespace: namespace } = typeof process === 'string' ? parseOwner(process) : process
  if (bootId !== currentBoot()) return false
  return (namespace !== undefined && namespace !== pidNamespace()) || startTimeOf(pid) === startedAt
}

/** This process, as one word of a record. */
export function thisOwner(): string {
  const { bootId, pidNamespace: namespace, pid, startedAt } = currentProcess()
  return [bootId, namespace, pid, startedAt].join(' ')
}

function parseOwner(owner: string): ProcessIdentity {
  const [bootId = '', namespace = '', pid, startedAt = ''] = owner.split(' ')
  return { pid: Number(pid), startedAt, bootId, pidNamespace: namespace }
}

let boot: string | undefined

/** Changes with every start of the kernel. */
export function currentBoot(): string {
  boot ??= readText('/proc/sys/kernel/random/boot_id').trim()
  return boot
}

let namespaceOfThis: string | undefined

function pidNamespace(): string {
  try {
    namespaceOfThis ??= readlinkSync('/proc/self/ns/pid')
    return namespaceOfThis
  } catch {
    return ''
  }
}

function startTimeOf(pid: number): string | undefined {
  const stat = readText(`/proc/${pid}/stat`)
  // The second field, the name, may hold spaces and parentheses.
  const [state, ...fields] = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return state === 'Z' || state === 'X' ? undefined : fields[18]
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'latin1')
  } catch {
    return ''
  }
}
