import { createSocket } from 'node:dgram'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { errnoOf, systemError } from '../base/index.ts'
import type { PublishedPort } from './publish.ts'

/**
 * Whether no program of this host listens on the port now. SCTP can not be asked for and counts as free.
 *
 * Rejects with the system's error when the port can not be used for another reason, such as an
 * address that the host does not have.
 */
export async function isFreeOnHost({ hostAddress, hostPort, protocol }: PublishedPort): Promise<boolean> {
  try {
    if (protocol === 'tcp') await listen(hostAddress, hostPort)
    if (protocol === 'udp') await bind(hostAddress, hostPort)
    return true
  } catch (error) {
    if (errnoOf(error) === 'EADDRINUSE') return false
    throw systemError(`publish on ${hostAddress}:${hostPort}/${protocol}`, error)
  }
}

async function listen(host: string, port: number): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const server = createServer(socket => socket.destroy())
  server.once('error', reject)
  server.listen({ host, port, exclusive: true }, () => server.close(() => resolve()))
  return promise
}

async function bind(address: string, port: number): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const socket = createSocket('udp4')
  socket.once('error', error => {
    socket.close()
    reject(error)
  })
  socket.bind({ address, port, exclusive: true }, () => socket.close(() => resolve()))
  return promise
}

/** The kernel's ephemeral ports, from which docker takes those that nobody asked for: 32768 to 60999 unless set otherwise. */
export function ephemeralPorts(): { readonly start: number; readonly end: number } {
  try {
    const [start, end] = readFileSync('/proc/sys/net/ipv4/ip_local_port_range', 'utf8').trim().split(/\s+/).map(Number)
    if (start !== undefined && end !== undefined && start > 0 && end >= start) return { start, end }
  } catch {
    // Without /proc/sys the kernel's default holds.
  }
  return { start: 32768, end: 60999 }
}
