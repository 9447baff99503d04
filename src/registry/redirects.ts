import { StrataError } from '../base/index.ts'
import { quoted } from '../oci/index.ts'
import type { HttpRequest, HttpResponse, Wrap } from './send.ts'

const MAX_REDIRECTS = 10
const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308])

/** What tells a host who we are; another host never gets it. */
const SECRET_HEADERS: ReadonlySet<string> = new Set(['authorization', 'cookie', 'proxy-authorization'])

/**
 * Follows redirects of requests that only read. Credentials stay with the host that they are for, and
 * nothing goes from https to http.
 */
export const withRedirects: Wrap = next => async request => {
  let current: HttpRequest = request
  for (let hops = 0; hops <= MAX_REDIRECTS; hops += 1) {
    const response: HttpResponse = await next(current)
    const location = response.headers['location']
    if (!REDIRECTS.has(response.status) || location === undefined || (request.method !== 'GET' && request.method !== 'HEAD'))
      return response
    await response.body.discard()
    current = redirect(current, location)
  }
  throw new StrataError(
    'unavailable',
    'STRATA_REDIRECT_LOOP',
    `Cannot read from "${request.url.host}": it redirects more than ${MAX_REDIRECTS} times`,
  )
}

function redirect(request: HttpRequest, location: string): HttpRequest {
  if (!URL.canParse(location, request.url.href)) {
    throw new StrataError(
      'unavailable',
      'STRATA_REDIRECT_REFUSED',
      `Cannot follow the redirect of "${request.url.host}": ${quoted(location)} is no address`,
    )
  }
  const url = new URL(location, request.url)
  if (url.protocol !== 'https:' && (url.protocol !== 'http:' || request.url.protocol === 'https:')) {
    throw new StrataError(
      'unavailable',
      'STRATA_REDIRECT_REFUSED',
      `Cannot follow the redirect of "${request.url.host}": it leads to ${url.protocol}//${url.host}`,
    )
  }
  if (url.origin === request.url.origin) return { ...request, url }
  return { ...request, url, headers: Object.fromEntries(Object.entries(request.headers).filter(([name]) => !SECRET_HEADERS.has(name))) }
}
