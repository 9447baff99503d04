import { readFileSync, readlinkSync } from 'node:fs'

/*
 * Who is making something: the boot, the pid namespace, the pid, and when that process started. A pid
 * alone is given to other processes later, and counts from one in every namespace and after every boot.
 */

let known: string | undefined

/** This process, for the records. */
export function thisOwner(): string {
  known ??= [bootId(), pidNamespace(), process.pid, startTimeOf(process.pid)].join(' ')
  return known
}

/** Tells whether the process still runs. One of another pid namespace cannot be seen from here: it lasts until the next boot. */
export function isAlive(owner: string): boolean {
  const [boot, namespace, pid, startedAt] = owner.split(' ')
  if (boot !== bootId()) return false
  return namespace !== pidNamespace() || startTimeOf(Number(pid)) === startedAt
}

function bootId(): string {
  return readText('/proc/sys/kernel/random/boot_id').trim()
}

function pidNamespace(): string {
  try {
    return readlinkSync('/proc/self/ns/pid')
  } catch {
    return ''
  }
}

/** In clock ticks since boot (proc(5), /proc/[pid]/stat fields 3 and 22); '' for one that is gone, or only waits to be reaped. */
function startTimeOf(pid: number): string {
  const stat = readText(`/proc/${pid}/stat`)
  const [state = '', ...fields] = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return state === 'Z' || state === 'X' ? '' : (fields[18] ?? '')
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'latin1')
  } catch {
    return ''
  }
}
