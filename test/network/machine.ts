import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type Server } from 'node:net'
import { findProgram } from '../../src/base/index.ts'

/** What other processes import to use the part. */
export const NETWORK: string = new URL('../../src/network/index.ts', import.meta.url).href

/** Why tests with real networks can not run here; false when they can. */
export async function whyNot(): Promise<string | false> {
  if (process.getuid?.() !== 0) return 'network namespaces need root'
  for (const program of ['netavark', 'iptables', 'busybox', 'nsenter', 'unshare']) {
    if ((await findProgram(program)) === undefined) return `${program} is not installed`
  }
  return false
}

export const newId = (): string => randomBytes(32).toString('hex')

export async function listenOn(port: number): Promise<Server> {
  const server = createServer()
  server.listen(port, '0.0.0.0')
  await once(server, 'listening')
  return server
}

/** The first of `count` neighbouring ports that are free, and the others. */
export async function freePorts(count: number): Promise<number[]> {
  for (;;) {
    const first = 20_000 + Math.floor(Math.random() * 10_000)
    const ports = Array.from({ length: count }, (_, index) => first + index)
    try {
      for (const port of ports) (await listenOn(port)).close()
      return ports
    } catch {
      // One is taken: elsewhere.
    }
  }
}
