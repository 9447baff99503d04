import { StrataError } from '../base/index.ts'
import type { NamespaceOptions } from './bundleOptions.ts'

/** Kernel parameters that an IPC namespace has for itself. ipc_namespaces(7), namespaces(7) */
const IPC = new Set(
  'kernel.msgmax kernel.msgmnb kernel.msgmni kernel.sem kernel.shmall kernel.shmmax kernel.shmmni kernel.shm_rmid_forced'.split(' '),
)

/**
 * The kernel parameters of a container: only those of a namespace that is the container's own, since
 * all others are the machine's. In an own network any user may ping and use ports below 1024, as with docker.
 */
export function planSysctls(
  wanted: Readonly<Record<string, string>>,
  namespaces: Pick<NamespaceOptions, 'network' | 'ipc'>,
): Readonly<Record<string, string>> {
  const ownNetwork = namespaces.network !== 'host'
  const ownIpc = namespaces.ipc !== 'host'
  const sysctls: Record<string, string> = ownNetwork
    ? { 'net.ipv4.ip_unprivileged_port_start': '0', 'net.ipv4.ping_group_range': '0 2147483647' }
    : {}
  for (const [name, value] of Object.entries(wanted)) {
    const isNetwork = name.startsWith('net.')
    const isIpc = IPC.has(name) || name.startsWith('fs.mqueue.')
    if (!/^[\w.-]+(?:\/[\w.-]+)*$/.test(name) || name.includes('..') || (!isNetwork && !isIpc)) {
      throw invalid(name, 'it is not in a namespace of a container')
    }
    if (isNetwork && !ownNetwork) throw invalid(name, "the container uses the host's network")
    if (isIpc && !ownIpc) throw invalid(name, "the container uses the host's IPC")
    sysctls[name] = value
  }
  return sysctls
}

function invalid(name: string, state: string): StrataError {
  return new StrataError('invalidArgument', 'STRATA_INVALID_SYSCTL', `Cannot set sysctl "${name}": ${state}`)
}
