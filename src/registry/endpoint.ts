import { StrataError } from '../base/index.ts'
import type { Send } from './send.ts'
import { speaksNoTls } from './trust.ts'

/**
 * The address at which a host answers: of several, https and then plain HTTP, the first; one alone is not tried before it
 * is used. distribution-spec "Endpoints"
 *
 * Rejects with `unavailable` when nothing answers at any of them, with what went wrong at the first that speaks as its address says.
 */
export async function findEndpoint([first, ...others]: readonly [URL, ...(readonly URL[])], send: Send): Promise<URL> {
  if (others.length === 0) return first
  try {
    await probe(first, send)
    return first
  } catch (error) {
    let failure = error
    for (const other of others) {
      try {
        await probe(other, send)
        return other
      } catch (later) {
        // Of one that does not speak TLS, what it said without tells more.
        if (speaksNoTls(failure)) failure = later
      }
    }
    throw failure
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
