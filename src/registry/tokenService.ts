import { readAtMost, StrataError } from '../base/index.ts'
import { quoted } from '../oci/index.ts'
import type { Challenge } from './challenge.ts'
import type { Credentials } from './authFile.ts'
import { isLoopback } from './loopback.ts'
import { laterHint } from './registryError.ts'
import { withRetry } from './retry.ts'
import type { HttpRequest, HttpResponse, Send } from './send.ts'

/** A token answer is a few hundred bytes to a few KiB. */
const MAX_TOKEN_BYTES = 256 * 1024
/** What a token service that names no time means. distribution/distribution docs/spec/auth/token.md */
const DEFAULT_TOKEN_SECONDS = 60
const CLIENT_ID = 'strata'

/** What goes into the `Authorization` header of requests to a registry, and until when. */
export interface Token {
  readonly header: string
  readonly expiresAtMs: number
}

export interface TokenQuestion {
  /** The registry that the token is for. */
  readonly origin: string
  /** A `Bearer` challenge of that registry: where its token service is. */
  readonly challenge: Challenge
  readonly scopes: readonly string[]
  /** Undefined asks as nobody in particular. */
  readonly credentials: Credentials | undefined
  /** Asks for an identity token as well, which can be kept in place of the password. */
  readonly offline?: boolean
  readonly signal?: AbortSignal | undefined
}

export interface TokenAnswer extends Token {
  readonly identityToken?: string
}

/**
 * Asks a registry's token service for a token, with a password (docs/spec/auth/token.md of
 * distribution/distribution) or an identity token (docs/spec/auth/oauth.md there).
 *
 * Rejects with `unauthorized` when the service refuses the credentials (STRATA_UNAUTHORIZED) or is at an address that may not
 * have them (STRATA_TOKEN_REALM), and with `unavailable` (STRATA_TOKEN_SERVICE) when it gives no token.
 */
export async function requestToken(next: Send, question: TokenQuestion): Promise<TokenAnswer> {
  const realm = realmOf(question)
  const { signal } = question
  const retried = withRetry(next)
  const send: Send = request => retried(signal === undefined ? request : { ...request, signal })
  const response =
    question.credentials?.identityToken === undefined
      ? await askWithPassword(send, realm, question)
      : await send(formRequest(realm, question, { grant_type: 'refresh_token', refresh_token: question.credentials.identityToken }))
  if (response.status === 401 || response.status === 403 || response.status === 400) {
    await response.body.discard()
    throw unauthorized(question.origin)
  }
  if (response.status !== 200) {
    await response.body.discard()
    const hint = laterHint(response)
    throw new StrataError(
      'unavailable',
      'STRATA_TOKEN_SERVICE',
      `Cannot get a token from "${realm.host}": it answers ${response.status}`,
      hint === undefined ? {} : { hint },
    )
  }
  return parseAnswer(await readAtMost(response.body, MAX_TOKEN_BYTES, `the token of "${realm.host}"`), realm)
}

/** By GET, and by POST from services that know only OAuth 2. */
async function askWithPassword(send: Send, realm: URL, question: TokenQuestion): Promise<HttpResponse> {
  const response = await send(queryRequest(realm, question))
  const { credentials, offline } = question
  if (credentials?.password === undefined || (response.status !== 404 && response.status !== 405)) return response
  await response.body.discard()
  return send(
    formRequest(realm, question, {
      grant_type: 'password',
      username: credentials.username,
      password: credentials.password,
      ...(offline === true ? { access_type: 'offline' } : {}),
    }),
  )
}

function queryRequest(realm: URL, { challenge, scopes, credentials, offline }: TokenQuestion): HttpRequest {
  const url = new URL(realm)
  const service = challenge.parameters.get('service')
  if (service !== undefined) url.searchParams.set('service', service)
  for (const scope of scopes) url.searchParams.append('scope', scope)
  url.searchParams.set('client_id', CLIENT_ID)
  if (offline === true) url.searchParams.set('offline_token', 'true')
  if (credentials?.password === undefined) return { method: 'GET', url, headers: {} }
  url.searchParams.set('account', credentials.username)
  return { method: 'GET', url, headers: { authorization: basicHeader(credentials.username, credentials.password) } }
}

function formRequest(realm: URL, { challenge, scopes }: TokenQuestion, grant: Readonly<Record<string, string>>): HttpRequest {
  const form = new URLSearchParams({ ...grant, client_id: CLIENT_ID, service: challenge.parameters.get('service') ?? '' })
  if (scopes.length > 0) form.set('scope', scopes.join(' '))
  return {
    method: 'POST',
    url: realm,
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    body: Buffer.from(form.toString()),
  }
}

/** A realm is where the password goes: it must be as safe as the registry itself (CVE-2026-33540). */
function realmOf({ challenge, origin }: TokenQuestion): URL {
  const text = challenge.parameters.get('realm') ?? ''
  const realm = URL.canParse(text) ? new URL(text) : undefined
  const registry = new URL(origin)
  if (realm === undefined || !isAsSafe(realm, registry) || realm.username !== '' || realm.password !== '') {
    throw new StrataError(
      'unauthorized',
      'STRATA_TOKEN_REALM',
      `Cannot get a token for "${registry.host}": its token service is at ${quoted(text)}, which is not safe`,
    )
  }
  return realm
}

/** Whoever may be spoken to without TLS may name only itself, and this machine only if it is on it. */
function isAsSafe(realm: URL, registry: URL): boolean {
  if (realm.protocol !== 'http:' || registry.protocol !== 'http:') return realm.protocol === 'https:'
  return realm.hostname === registry.hostname || (isLoopback(realm.hostname) && isLoopback(registry.hostname))
}

function parseAnswer(bytes: Buffer, realm: URL): TokenAnswer {
  const answer = jsonObject(bytes)
  const token = [answer['token'], answer['access_token']].find(isToken)
  if (token === undefined)
    throw new StrataError('unavailable', 'STRATA_TOKEN_SERVICE', `Cannot get a token from "${realm.host}": its answer has none`)
  const { expires_in: lifetime, refresh_token: identityToken } = answer
  const seconds = typeof lifetime === 'number' && Number.isFinite(lifetime) ? lifetime : DEFAULT_TOKEN_SECONDS
  return {
    header: `Bearer ${token}`,
    // Renewed a little early: a request that is under way when the time is over would fail.
    expiresAtMs: Date.now() + seconds * 900,
    ...(isToken(identityToken) ? { identityToken } : {}),
  }
}

/** Empty for what is no JSON object: its text may be a secret, and a parser's complaint quotes it. */
function jsonObject(bytes: Buffer): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(bytes.toString())
    return typeof value === 'object' && value !== null ? (value as Readonly<Record<string, unknown>>) : {}
  } catch {
    return {}
  }
}

/** Printable, so that it can stand in a header. */
const isToken = (value: unknown): value is string => typeof value === 'string' && /^[\x21-\x7e]+$/.test(value)

/** RFC 7617 section 2 */
export const basicHeader = (username: string, password: string): string =>
  `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`

/** @param missing the credential helper that might have had some, and is not installed */
export function unauthorized(origin: string, missing?: string): StrataError {
  const { host } = new URL(origin)
  return new StrataError(
    'unauthorized',
    'STRATA_UNAUTHORIZED',
    `Cannot use registry "${host}": it wants credentials, or others than these`,
    {
      hint: `${missing === undefined ? '' : `The credential helper ${missing} of config.json is not installed. `}Sign in with \`strata login\`, naming the registry as images do.`,
    },
  )
}
