import { readFileSync } from 'node:fs'
import { getSystemErrorName } from 'node:util'
import { close } from './descriptors.ts'
import { callError, lastError, libc } from './libc.ts'

/* Numbers of netlink(7) and rtnetlink(7). */
const AF_NETLINK = 16
const SOCK_RAW_CLOEXEC = 3 | 0o2000000
const NETLINK_ROUTE = 0
const RTM_NEWLINK = 16
const NLM_F_REQUEST = 1
const NLM_F_ACK = 4
const IFLA_ADDRESS = 1
/** struct nlmsghdr: length, type, flags, sequence number, sender. */
const HEADER_BYTES = 16
/** struct ifinfomsg: family, type, index, flags, changed flags. */
const LINK_BYTES = 16
/** struct rtattr (length, type), six octets, and two of padding. */
const ADDRESS_BYTES = 12

/**
 * Gives a network interface of this process's network namespace its MAC address. A bridge that got
 * one keeps it; otherwise it takes the lowest of its ports', and changes it as ports come and go.
 *
 * @param macAddress six hexadecimal octets with colons
 * @throws ENOENT where there is no such interface, EPERM for who may not, EINVAL for other text
 */
export function setLinkAddress(interfaceName: string, macAddress: string): void {
  if (!/^[0-9a-f]{2}(?::[0-9a-f]{2}){5}$/i.test(macAddress)) throw callError('EINVAL', 'RTM_NEWLINK', interfaceName)
  const request = Buffer.alloc(HEADER_BYTES + LINK_BYTES + ADDRESS_BYTES)
  request.writeUInt32LE(request.length, 0)
  request.writeUInt16LE(RTM_NEWLINK, 4)
  request.writeUInt16LE(NLM_F_REQUEST | NLM_F_ACK, 6)
  request.writeInt32LE(indexOf(interfaceName), HEADER_BYTES + 4)
  request.writeUInt16LE(4 + 6, HEADER_BYTES + LINK_BYTES)
  request.writeUInt16LE(IFLA_ADDRESS, HEADER_BYTES + LINK_BYTES + 2)
  request.write(macAddress.replaceAll(':', ''), HEADER_BYTES + LINK_BYTES + 4, 'hex')

  const socket = libc().socket(AF_NETLINK, SOCK_RAW_CLOEXEC, NETLINK_ROUTE)
  if (socket < 0) throw lastError('socket', interfaceName)
  try {
    if (libc().send(socket, request, request.length, 0) < 0) throw lastError('send', interfaceName)
    // The kernel has answered before send returns: a header, then the negative errno or 0.
    const answer = Buffer.alloc(256)
    if (libc().recv(socket, answer, answer.length, 0) < HEADER_BYTES + 4) throw lastError('recv', interfaceName)
    const errno = answer.readInt32LE(HEADER_BYTES)
    if (errno !== 0) throw callError(getSystemErrorName(errno), 'RTM_NEWLINK', interfaceName)
  } finally {
    close(socket)
  }
}

function indexOf(interfaceName: string): number {
  if (!/^[^/\s\0]{1,15}$/.test(interfaceName) || interfaceName.startsWith('.')) throw callError('EINVAL', 'open', interfaceName)
  return Number(readFileSync(`/sys/class/net/${interfaceName}/ifindex`, 'utf8'))
}
