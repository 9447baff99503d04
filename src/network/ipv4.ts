/** An IPv4 address as a number from 0 to 2^32 - 1, so that addresses can be counted and compared. */
export type Ipv4 = number

export interface Subnet {
  /** The lowest address: all host bits are zero. */
  readonly base: Ipv4
  readonly prefixLength: number
}

/** Reads `a.b.c.d`; undefined for anything else, also for octets with leading zeros, which some programs read as octal. */
export function parseIpv4(text: string): Ipv4 | undefined {
  const octets = text.split('.')
  if (octets.length !== 4) return undefined
  let address = 0
  for (const octet of octets) {
    if (!/^(?:0|[1-9]\d{0,2})$/.test(octet) || Number(octet) > 255) return undefined
    address = address * 256 + Number(octet)
  }
  return address
}

export function formatIpv4(address: Ipv4): string {
  return [24, 16, 8, 0].map(shift => (address >>> shift) & 255).join('.')
}

/** Reads `a.b.c.d/n`; undefined when it is something else or has host bits. */
export function parseSubnet(text: string): Subnet | undefined {
  const [, address = '', length = ''] = /^([\d.]+)\/(\d{1,2})$/.exec(text) ?? []
  const base = parseIpv4(address)
  const prefixLength = Number(length)
  if (base === undefined || prefixLength > 32) return undefined
  return base % sizeOf(prefixLength) === 0 ? { base, prefixLength } : undefined
}

export function formatSubnet(subnet: Subnet): string {
  return `${formatIpv4(subnet.base)}/${subnet.prefixLength}`
}

/** The subnet with this prefix length that an address is in. */
export function subnetOf(address: Ipv4, prefixLength: number): Subnet {
  return { base: address - (address % sizeOf(prefixLength)), prefixLength }
}

/** The address of all hosts of a subnet, its highest. */
export function broadcastOf(subnet: Subnet): Ipv4 {
  return subnet.base + sizeOf(subnet.prefixLength) - 1
}

export function contains(subnet: Subnet, address: Ipv4): boolean {
  return address >= subnet.base && address <= broadcastOf(subnet)
}

export function overlap(a: Subnet, b: Subnet): boolean {
  return a.base <= broadcastOf(b) && b.base <= broadcastOf(a)
}

/** A prefix has 2^(32 - n) addresses; not `<<`, which ends at 2^31. */
function sizeOf(prefixLength: number): number {
  return 2 ** (32 - prefixLength)
}
