import { isIP } from 'node:net'
import { StrataError } from '../base/index.ts'

/** The transport protocols that can be published. */
export type Protocol = 'tcp' | 'udp' | 'sctp'

/** A port that shall be published, as `-p` names it; the same shape as the container part's PublishOptions. */
export interface PublishRequest {
  /** '' is every address. */
  readonly hostAddress: string
  /** 0 lets the engine choose a free one. */
  readonly hostPort: number
  /** The last port of a range from which the engine chooses one (`-p 8000-9000:80`). */
  readonly hostPortEnd?: number
  readonly containerPort: number
  readonly protocol: Protocol
}

/** A port that is published: docker's HostIp, HostPort and `port/protocol`. */
export interface PublishedPort {
  readonly hostAddress: string
  readonly hostPort: number
  readonly containerPort: number
  readonly protocol: Protocol
}

interface PortRange {
  readonly start: number
  readonly end: number
}

/** The parts before the protocol; the address is there only with two more colons, of which none is inside brackets. */
const PUBLISHED_PORTS = /^(?:(\[[^\]]*\]|[^:[\]]*):(?=[^:]*:))?(?:([^:]*):)?([^:]*)$/

/**
 * Reads what `docker run --publish` takes: `[[address:][hostPort[-end]]:]containerPort[-end][/protocol]`,
 * an IPv6 address in brackets. Two ranges of one length publish port by port; a host range for one
 * container port leaves the choice to the engine.
 *
 * Throws `invalidArgument` (STRATA_INVALID_PUBLISH) for anything else.
 */
export function parsePublish(text: string): PublishRequest[] {
  const fail = (state: string): never => {
    throw invalid(`publish "${text}"`, state)
  }
  const [ports = '', protocolText = 'tcp', ...rest] = text.split('/')
  if (rest.length > 0) fail('it has more than one protocol')
  const protocol = parseProtocol(protocolText) ?? fail(`"${protocolText}" is not a protocol: expected tcp, udp or sctp`)
  const [, address = '', host = '', container = ''] =
    PUBLISHED_PORTS.exec(ports) ?? fail('expected [[address:][hostPort]:]containerPort[/protocol]')
  if (container === '') fail('no container port is given')
  const target = parseRange(container) ?? fail(`"${container}" is not a container port or range`)
  const source = host === '' ? undefined : (parseRange(host) ?? fail(`"${host}" is not a host port or range`))
  const hostAddress = address.replace(/^\[(.*)\]$/, '$1')
  if (address !== '' && isIP(hostAddress) === 0) fail(`"${address}" is not an address of the host`)

  const length = target.end - target.start
  if (source !== undefined && length === 0 && source.end > source.start) {
    return [{ hostAddress, hostPort: source.start, hostPortEnd: source.end, containerPort: target.start, protocol }]
  }
  if (source !== undefined && source.end - source.start !== length) {
    fail(`the ranges ${host} and ${container} do not have the same length`)
  }
  return Array.from({ length: length + 1 }, (_, index) => ({
    hostAddress,
    hostPort: source === undefined ? 0 : source.start + index,
    containerPort: target.start + index,
    protocol,
  }))
}

/**
 * Reads what `--expose` takes and an image's ExposedPorts have: `80`, `80/udp`, `80-90/tcp`.
 *
 * @returns one `port/protocol` for each port
 * Throws `invalidArgument` (STRATA_INVALID_PUBLISH) for anything else.
 */
export function parseExposedPorts(text: string): string[] {
  const [, ports = '', protocolText = 'tcp'] = /^([^/]*)(?:\/([^/]*))?$/.exec(text) ?? []
  const range = parseRange(ports)
  const protocol = parseProtocol(protocolText)
  if (range === undefined || protocol === undefined) throw invalid(`expose "${text}"`, 'expected port[-port][/protocol]')
  return Array.from({ length: range.end - range.start + 1 }, (_, index) => `${range.start + index}/${protocol}`)
}

/** What `--publish-all` publishes: the explicit requests, and every other exposed port on a free port of the host. */
export function publishAll(exposed: Iterable<string>, explicit: readonly PublishRequest[]): PublishRequest[] {
  const published = new Set(explicit.map(({ containerPort, protocol }) => `${containerPort}/${protocol}`))
  const rest = new Set([...exposed].flatMap(parseExposedPorts).filter(port => !published.has(port)))
  return [
    ...explicit,
    ...[...rest].map(port => {
      const [containerPort = '', protocol = ''] = port.split('/')
      return { hostAddress: '', hostPort: 0, containerPort: Number(containerPort), protocol: protocol as Protocol }
    }),
  ]
}

function parseRange(text: string): PortRange | undefined {
  const [, first = '', last = first] = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(text) ?? []
  const start = Number(first)
  const end = Number(last)
  return first !== '' && start >= 1 && end >= start && end <= 65535 ? { start, end } : undefined
}

function parseProtocol(text: string): Protocol | undefined {
  const lower = text.toLowerCase()
  return lower === 'tcp' || lower === 'udp' || lower === 'sctp' ? lower : undefined
}

function invalid(action: string, state: string): StrataError {
  return new StrataError('invalidArgument', 'STRATA_INVALID_PUBLISH', `Cannot ${action}: ${state}`)
}
