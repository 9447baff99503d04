import { readAtMost, SingleFlight, StrataError } from '../base/index.ts'
import { type Challenge, parseChallenges } from './challenge.ts'
import type { Credentials } from './credentials.ts'
import { isLoopback } from './loopback.ts'
import type { HttpResponse, Send, Wrap } from './send.ts'

/** A token answer is a few hundred bytes to a few KiB. */
const MAX_TOKEN_BYTES = 256 * 1024
/** What a token service that names no time means. distribution/distribution docs/spec/auth/token.md */
const DEFAULT_TOKEN_SECONDS = 60

interface Token {
  readonly header: string
  readonly expiresAtMs: number
}

export interface AuthorizationOptions {
  /** The registry that the credentials are for: only its own address gets them. */
  readonly origin: string
  /** `repository:team/app:pull,push` */
  readonly scope: string
  readonly credentials: Credentials | undefined
}

/**
 * Answers a registry's challenge: with the credentials themselves (`Basic`), or with a token that its
 * token service gives for them (`Bearer`; distribution/distribution docs/spec/auth/token.md). What has
 * worked is used for the requests that follow.
 */
export function withAuthorization({ origin, scope, credentials }: AuthorizationOptions): Wrap {
  const fetching = new SingleFlight<Token>()
  let held: Token | undefined
  return next => async request => {
    if (request.url.origin !== origin) return next(request)
    const signed = (token: Token | undefined): Promise<HttpResponse> =>
      next(token === undefined ? request : { ...request, headers: { ...request.headers, authorization: token.header } })
    if (held !== undefined && held.expiresAtMs < Date.now()) held = undefined
    // A body that is a stream cannot be sent twice, so such a request comes after one that has been answered.
    const response = await signed(held)
    if (response.status !== 401) return response
    const challenge = chooseChallenge(response)
    if (challenge === undefined || (request.body !== undefined && !(request.body instanceof Uint8Array))) return response
    await response.body.discard()
    held =
      challenge.scheme === 'basic'
        ? basicToken(credentials, origin)
        : await fetching.run(scope, () => fetchToken(next, challenge, { origin, scope, credentials }))
    return signed(held)
  }
}

function chooseChallenge(response: HttpResponse): Challenge | undefined {
  const challenges = parseChallenges(response.headers['www-authenticate'] ?? '')
  return challenges.find(({ scheme }) => scheme === 'bearer') ?? challenges.find(({ scheme }) => scheme === 'basic')
}

function basicToken(credentials: Credentials | undefined, origin: string): Token {
  if (credentials?.password === undefined) throw unauthorized(origin)
  return { header: basicHeader(credentials.username, credentials.password), expiresAtMs: Infinity }
}

async function fetchToken(send: Send, challenge: Challenge, { origin, scope, credentials }: AuthorizationOptions): Promise<Token> {
  const realm = realmOf(challenge, origin)
  const service = challenge.parameters.get('service')
  // The registry knows best what the request needs; the rest of the session needs our scope.
  const scopes = [...new Set([scope, ...(challenge.parameters.get('scope')?.split(' ') ?? [])])]
  const response =
    credentials?.identityToken === undefined
      ? await send(basicTokenRequest(realm, service, scopes, credentials))
      : await send(refreshTokenRequest(realm, service, scopes, credentials.identityToken))
  if (response.status === 401 || response.status === 403 || response.status === 400) {
    await response.body.discard()
    throw unauthorized(origin)
  }
  const bytes = await readAtMost(response.body, MAX_TOKEN_BYTES, `the token of "${realm.host}"`)
  if (response.status !== 200) {
    throw new StrataError('unavailable', 'STRATA_TOKEN_SERVICE', `Cannot get a token from "${realm.host}": it answers ${response.status}`)
  }
  return parseToken(bytes, realm)
}

function basicTokenRequest(
  realm: URL,
  service: string | undefined,
  scopes: readonly string[],
  credentials: Credentials | undefined,
): Parameters<Send>[0] {
  const url = new URL(realm)
  if (service !== undefined) url.searchParams.set('service', service)
  for (const each of scopes) url.searchParams.append('scope', each)
  const headers: Record<string, string> = {}
  if (credentials?.password !== undefined) {
    url.searchParams.set('account', credentials.username)
    headers['authorization'] = basicHeader(credentials.username, credentials.password)
  }
  return { method: 'GET', url, headers }
}

/** distribution/distribution docs/spec/auth/oauth.md */
function refreshTokenRequest(
  realm: URL,
  service: string | undefined,
  scopes: readonly string[],
  identityToken: string,
): Parameters<Send>[0] {
  const form = new URLSearchParams({
    grant_type: 'refresh_token',
    client_id: 'strata',
    refresh_token: identityToken,
    scope: scopes.join(' '),
  })
  if (service !== undefined) form.set('service', service)
  return {
    method: 'POST',
    url: realm,
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    body: Buffer.from(form.toString()),
  }
}

/** A realm is where the password goes: it must be as safe as the registry itself (CVE-2026-33540). */
function realmOf(challenge: Challenge, origin: string): URL {
  const text = challenge.parameters.get('realm') ?? ''
  const realm = URL.canParse(text) ? new URL(text) : undefined
  const safe = realm?.protocol === 'https:' || (realm?.protocol === 'http:' && origin.startsWith('http:') && isLoopback(realm.hostname))
  if (realm === undefined || !safe) {
    throw new StrataError(
      'unauthorized',
      'STRATA_TOKEN_REALM',
      `Cannot get a token for "${new URL(origin).host}": its token service is at "${text.slice(0, 200)}", which is not safe`,
    )
  }
  return realm
}

function parseToken(bytes: Buffer, realm: URL): Token {
  const invalid = (cause?: unknown): StrataError =>
    new StrataError('unavailable', 'STRATA_TOKEN_SERVICE', `Cannot get a token from "${realm.host}": its answer has none`, { cause })
  let answer: { token?: unknown; access_token?: unknown; expires_in?: unknown }
  try {
    answer = JSON.parse(bytes.toString()) as typeof answer
  } catch (cause) {
    throw invalid(cause)
  }
  const token = answer.token ?? answer.access_token
  if (typeof token !== 'string' || token === '' || /[^\x21-\x7e]/.test(token)) throw invalid()
  const seconds = typeof answer.expires_in === 'number' ? answer.expires_in : DEFAULT_TOKEN_SECONDS
  // Renewed a little early: a request that is under way when the time is over would fail.
  return { header: `Bearer ${token}`, expiresAtMs: Date.now() + seconds * 900 }
}

const basicHeader = (username: string, password: string): string => `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`

function unauthorized(origin: string): StrataError {
  return new StrataError(
    'unauthorized',
    'STRATA_UNAUTHORIZED',
    `Cannot use registry "${new URL(origin).host}": it wants credentials, or others than these`,
    {
      hint: 'Put credentials for it into config.json, as `docker login` does.',
    },
  )
}
