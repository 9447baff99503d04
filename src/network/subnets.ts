import { readFileSync } from 'node:fs'
import { networkInterfaces } from 'node:os'
import { StrataError } from '../base/index.ts'
import { formatSubnet, overlap, parseIpv4, parseSubnet, type Subnet } from './ipv4.ts'

/**
 * Where `bridge` may be, best first: private ranges (RFC 1918) that podman (10.88/16), docker
 * (172.17/16 to 172.31/16), Kubernetes (10.96/12, 10.244/16) and home routers do not use by default.
 */
const CANDIDATES: readonly Subnet[] = [
  ...Array.from({ length: 16 }, (_, index) => `10.${208 + index}.0.0/16`),
  ...Array.from({ length: 16 }, (_, index) => `192.168.${160 + index}.0/24`),
].map(text => parseSubnet(text)!)

/**
 * The first candidate that overlaps nothing of `occupied`; `preferred` comes before all of them.
 *
 * @param firstChoice the candidate to begin with; after the last comes the first
 * Throws `unavailable` (STRATA_NO_SUBNET) when there is none.
 */
export function chooseSubnet(occupied: readonly Subnet[], firstChoice = 0, preferred?: Subnet): Subnet {
  const start = firstChoice % CANDIDATES.length
  const candidates = [...(preferred === undefined ? [] : [preferred]), ...CANDIDATES.slice(start), ...CANDIDATES.slice(0, start)]
  const chosen = candidates.find(candidate => !occupied.some(other => overlap(candidate, other)))
  if (chosen !== undefined) return chosen
  throw new StrataError(
    'unavailable',
    'STRATA_NO_SUBNET',
    `Cannot make network "bridge": the host has routes to all of ${formatSubnet(CANDIDATES[0]!)} to ${formatSubnet(CANDIDATES.at(-1)!)}`,
    { hint: 'Use --network host or --network none.' },
  )
}

/** What the host has addresses in or routes to, and where its name servers are; without those of one interface. */
export function occupiedSubnets(except: string): Subnet[] {
  const own = Object.entries(networkInterfaces()).flatMap(([name, addresses = []]) =>
    name === except ? [] : addresses.filter(({ family }) => family === 'IPv4').map(({ address }) => address),
  )
  const servers = [...readText('/etc/resolv.conf').matchAll(/^nameserver\s+(\S+)/gm)].map(([, server = '']) => server)
  const single = [...own, ...servers].map(parseIpv4).filter(address => address !== undefined)
  return [
    // The default route leads everywhere and occupies nothing.
    ...readRoutes().filter(({ interfaceName, prefixLength }) => interfaceName !== except && prefixLength > 0),
    ...single.map(base => ({ base, prefixLength: 32 })),
  ]
}

export interface Route extends Subnet {
  readonly interfaceName: string
}

/** Reads /proc/net/route, whose numbers are hexadecimal in the machine's byte order (little-endian on what Node runs on). */
export function parseRoutes(text: string): Route[] {
  const routes: Route[] = []
  for (const line of text.split('\n').slice(1)) {
    const [interfaceName = '', destination = '', , , , , , mask = ''] = line.trim().split(/\s+/)
    if (!/^[\dA-F]{8}$/i.test(destination) || !/^[\dA-F]{8}$/i.test(mask)) continue
    const prefixLength = 32 - Math.log2(2 ** 32 - fromHostOrder(mask))
    routes.push({ interfaceName, base: fromHostOrder(destination), prefixLength })
  }
  return routes
}

function fromHostOrder(hex: string): number {
  return Buffer.from(hex, 'hex').readUInt32LE()
}

/** The largest packet that the interface of the default route takes, in bytes; undefined without such a route. */
export function defaultMtu(): number | undefined {
  const route = readRoutes().find(({ prefixLength }) => prefixLength === 0)
  const text = route === undefined ? '' : readText(`/sys/class/net/${route.interfaceName}/mtu`)
  return text === '' ? undefined : Number(text)
}

function readRoutes(): Route[] {
  return parseRoutes(readText('/proc/net/route'))
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    // A host without it has no routes or name servers to avoid.
    return ''
  }
}
