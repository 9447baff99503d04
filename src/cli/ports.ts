import type { ContainerPort } from '../engine/index.ts'

interface Run {
  readonly hostAddress: string | undefined
  readonly protocol: string
  readonly first: number
  last: number
}

/**
 * The PORTS column: `0.0.0.0:8080->80/tcp, [::]:8080->80/tcp, 443/tcp`. Neighbours that are published
 * under their own number, or only exposed, are joined (`0.0.0.0:8000-8002->8000-8002/tcp`); ports
 * under another number come last, one by one.
 */
export function formatPorts(ports: readonly ContainerPort[]): string {
  const done: string[] = []
  const open = new Map<string, Run>()
  const moved: string[] = []
  for (const port of [...ports].sort(comparePorts)) {
    const { hostAddress, hostPort, containerPort, protocol } = port
    if (hostAddress !== undefined && hostPort !== containerPort) {
      moved.push(`${withAddress(hostAddress, `${hostPort}`)}->${containerPort}/${protocol}`)
      continue
    }
    const key = `${hostAddress ?? ''}/${protocol}`
    const run = open.get(key)
    if (run !== undefined && containerPort === run.last + 1) {
      run.last = containerPort
      continue
    }
    if (run !== undefined) done.push(formatRun(run))
    open.set(key, { hostAddress, protocol, first: containerPort, last: containerPort })
  }
  return [...done, ...[...open.values()].map(formatRun), ...moved].join(', ')
}

/** By container port, then address, host port and protocol. */
function comparePorts(a: ContainerPort, b: ContainerPort): number {
  const address = (port: ContainerPort): string => port.hostAddress ?? ''
  if (a.containerPort !== b.containerPort) return a.containerPort - b.containerPort
  if (address(a) !== address(b)) return address(a) < address(b) ? -1 : 1
  if (a.hostPort !== b.hostPort) return (a.hostPort ?? 0) - (b.hostPort ?? 0)
  return a.protocol < b.protocol ? -1 : a.protocol > b.protocol ? 1 : 0
}

function formatRun({ hostAddress, protocol, first, last }: Run): string {
  const range = first === last ? `${first}` : `${first}-${last}`
  return hostAddress === undefined ? `${range}/${protocol}` : `${withAddress(hostAddress, range)}->${range}/${protocol}`
}

/** An address and a port; an IPv6 address in brackets. */
export function withAddress(address: string, port: string): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`
}
