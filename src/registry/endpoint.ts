import { StrataError } from '../base/index.ts'
import type { Send } from './send.ts'

/**
 * The address at which a host answers: of several, https and then plain HTTP, the first; one alone is not tried before it
 * is used. distribution-spec "Endpoints"
 *
 * Rejects with `unavailable` when nothing answers at any of them, with what went wrong at the first.
 */
export async function findEndpoint([first, ...others]: readonly [URL, ...(readonly URL[])], send: Send): Promise<URL> {
  if (others.length === 0) return first
  try {
    await probe(first, send)
    return first
  } catch (error) {
    for (const other of others) {
      try {
        await probe(other, send)
        return other
      } catch {
        // The first counts.
      }
    }
    throw error
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
