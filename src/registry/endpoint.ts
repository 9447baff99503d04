import { isIPv4 } from 'node:net'
import { StrataError } from '../base/index.ts'
import type { Send } from './send.ts'

/** Where images of docker.io really are. */
const HOSTS: Readonly<Record<string, string>> = { 'docker.io': 'registry-1.docker.io' }

/**
 * The address of a registry: https, and http only for this machine's own registries that do not speak
 * TLS. distribution-spec "Endpoints"; docker counts 127.0.0.0/8 as insecure registries.
 *
 * Rejects with `unavailable` when nothing answers there.
 */
export async function findEndpoint(domain: string, send: Send): Promise<URL> {
  const host = HOSTS[domain] ?? domain
  const secure = new URL(`https://${host}/v2/`)
  if (!isLoopback(secure.hostname)) return secure
  const plain = new URL(`http://${host}/v2/`)
  try {
    await probe(secure, send)
    return secure
  } catch (error) {
    try {
      await probe(plain, send)
      return plain
    } catch {
      throw error
    }
  }
}

async function probe(url: URL, send: Send): Promise<void> {
  const response = await send({ method: 'GET', url, headers: {} })
  await response.body.discard()
  // A plain server answers a TLS handshake with 400, and a proxy with an error page.
  if (response.status !== 200 && response.status !== 401 && response.status !== 403 && response.status !== 404) {
    throw new StrataError(
      'unavailable',
      'STRATA_REGISTRY_UNREACHABLE',
      `Cannot reach registry "${url.host}": it answers ${response.status}`,
    )
  }
}

/** Whether a host name of a URL is this machine. */
export function isLoopback(hostname: string): boolean {
  return hostname === 'localhost' || hostname === '[::1]' || (isIPv4(hostname) && hostname.startsWith('127.'))
}
