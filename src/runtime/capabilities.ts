import { StrataError } from '../base/index.ts'
import type { RuntimeCapabilities } from './runtimeSpec.ts'

/** By bit, from 0. capabilities(7), linux/capability.h */
const CAPABILITIES = (
  'CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE ' +
  'NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN ' +
  'SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE ' +
  'MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE'
)
  .split(' ')
  .map(name => `CAP_${name}`)

/** What a container has unless told. docs.docker.com, "Runtime privilege and Linux capabilities" */
const DEFAULT_CAPABILITIES: ReadonlySet<string> = new Set(
  'AUDIT_WRITE CHOWN DAC_OVERRIDE FOWNER FSETID KILL MKNOD NET_BIND_SERVICE NET_RAW SETFCAP SETGID SETPCAP SETUID SYS_CHROOT'
    .split(' ')
    .map(name => `CAP_${name}`),
)

/** The names of the bits of a capability set. */
export function capabilitiesOf(bits: bigint): string[] {
  return CAPABILITIES.filter((_, bit) => ((bits >> BigInt(bit)) & 1n) === 1n)
}

export interface CapabilityOptions {
  readonly add?: readonly string[]
  readonly drop?: readonly string[]
  readonly privileged?: boolean
}

/**
 * Which capabilities a process gets: docker's defaults, without what is dropped, with what is added.
 * `ALL` dropped leaves what is added; `ALL` added leaves out what is dropped. Nothing goes beyond
 * `available`, and what was asked for by name and is not there is told in `missing`.
 */
export function chooseCapabilities(
  options: CapabilityOptions,
  available: readonly string[],
): { chosen: readonly string[]; missing: readonly string[] } {
  const add = new Set((options.add ?? []).map(parseCapability))
  const drop = new Set((options.drop ?? []).map(parseCapability))
  const wanted = (name: string): boolean => {
    if (options.privileged === true) return true
    if (add.has('ALL')) return !drop.has(name)
    if (drop.has('ALL')) return add.has(name)
    return add.has(name) || (DEFAULT_CAPABILITIES.has(name) && !drop.has(name))
  }
  return {
    chosen: CAPABILITIES.filter(name => wanted(name) && available.includes(name)),
    missing: CAPABILITIES.filter(name => add.has(name) && !available.includes(name)),
  }
}

/** The canonical name of a capability, or `ALL`. Rejects what this version does not know. */
function parseCapability(text: string): string {
  const name = text.toUpperCase()
  if (name === 'ALL' || name === 'CAP_ALL') return 'ALL'
  const full = name.startsWith('CAP_') ? name : `CAP_${name}`
  if (CAPABILITIES.includes(full)) return full
  throw new StrataError('invalidArgument', 'STRATA_UNKNOWN_CAPABILITY', `Cannot use capability "${text}": there is none of that name`)
}

/**
 * The five sets of a process. The inheritable and ambient ones are always empty: an inheritable set
 * would let an executable with inheritable file capabilities raise what its user must not have.
 * For other users than root only the bounding set is filled, as after an execve. capabilities(7)
 */
export function capabilitySets(chosen: readonly string[], uid: number): RuntimeCapabilities {
  const held = uid === 0 ? chosen : []
  return { bounding: chosen, effective: held, permitted: held, inheritable: [], ambient: [] }
}
