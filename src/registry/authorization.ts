import { isStrataError, SingleFlight, StrataError } from '../base/index.ts'
import { type Challenge, parseChallenges } from './challenge.ts'
import type { Credentials } from './authFile.ts'
import { scopesOfRequest, unionScopes } from './scopes.ts'
import type { HttpRequest, HttpResponse, Send, Wrap } from './send.ts'
import { basicHeader, requestToken, type Token, unauthorized } from './tokenService.ts'

export interface AuthorizationOptions {
  /** The registry that the credentials are for: only its own address gets them. */
  readonly origin: string
  /** `repository:team/app:pull,push` */
  readonly scope: string
  readonly credentials: Credentials | undefined
  /** Ends the wait for a token. */
  readonly signal?: AbortSignal | undefined
}

/**
 * Answers a registry's challenge: with the credentials themselves (`Basic`), or with a token that its
 * token service gives for them (`Bearer`; distribution/distribution docs/spec/auth/token.md). What has
 * worked is used for the requests that follow, and renewed before its time is over. A request that mounts a blob
 * gets a token for both repositories, or where the source is refused one for its own.
 */
export function withAuthorization(options: AuthorizationOptions): Wrap {
  return next => {
    const session = new Session(next, options)
    return request => session.send(request)
  }
}

/** What a token service has given, and what for. */
interface Grant {
  readonly token: Token
  readonly scopes: readonly string[]
}

class Session {
  readonly #next: Send
  readonly #options: AuthorizationOptions
  readonly #renewing = new SingleFlight<Grant>()
  /** By the scopes that a request needs. */
  readonly #grants = new Map<string, Grant>()
  /** The registry's last one, which says how to get a token before a request instead of after its refusal. */
  #challenge: Challenge | undefined

  constructor(next: Send, options: AuthorizationOptions) {
    this.#next = next
    this.#options = options
  }

  async send(request: HttpRequest): Promise<HttpResponse> {
    const { origin, scope } = this.#options
    if (request.url.origin !== origin) return this.#next(refuseDowngrade(request, origin))
    const needed = unionScopes([scope], scopesOfRequest(request.url))
    const held = await this.#grantBefore(needed)
    const response = await this.#next(signed(request, held))
    if (response.status !== 401) return response
    const challenge = chooseChallenge(response)
    if (challenge === undefined) return response
    this.#challenge = challenge
    // Others than these credentials there are none.
    if (challenge.scheme === 'basic' && held !== undefined) return response
    // A body that is a stream cannot be sent twice. Whoever sends it again gets a new token first.
    if (request.body !== undefined && !(request.body instanceof Uint8Array)) {
      this.#grants.delete(keyOf(needed))
      return response
    }
    await response.body.discard()
    return this.#next(signed(request, await this.#renew(needed, held, challenge.parameters.get('scope')?.split(' '))))
  }

  /** What a request is sent with at first: nothing until the registry has said what it wants. */
  async #grantBefore(needed: readonly string[]): Promise<Grant | undefined> {
    const held = this.#grants.get(keyOf(needed))
    if (held !== undefined && held.token.expiresAtMs > Date.now()) return held
    return this.#challenge === undefined ? undefined : this.#renew(needed, held)
  }

  /** @param used what was not, or will not be, good enough @param wanted what the registry itself says that the request needs */
  async #renew(needed: readonly string[], used: Grant | undefined, wanted: readonly string[] = []): Promise<Grant> {
    const key = keyOf(needed)
    const held = this.#grants.get(key)
    // Another request has renewed it meanwhile.
    if (held !== undefined && held !== used && held.token.expiresAtMs > Date.now()) return held
    // The registry knows best what the request needs; the rest of the session needs our scopes.
    const scopes = unionScopes(needed, used?.scopes ?? [], wanted)
    const grant = await this.#renewing.run(key, () => this.#ask(needed, scopes))
    this.#grants.set(key, grant)
    return grant
  }

  async #ask(needed: readonly string[], scopes: readonly string[]): Promise<Grant> {
    const { origin, scope, credentials, signal } = this.#options
    const challenge = this.#challenge!
    if (challenge.scheme === 'basic') return { token: basicToken(credentials, origin), scopes }
    try {
      return { token: await requestToken(this.#next, { origin, challenge, scopes, credentials, signal }), scopes }
    } catch (error) {
      const own = unionScopes([scope])
      if (keyOf(needed) === keyOf(own) || !isStrataError(error, 'unauthorized')) throw error
      // Who may not read the source can still send the bytes.
      return this.#renew(own, undefined)
    }
  }
}

const keyOf = (scopes: readonly string[]): string => scopes.join(' ')

function signed(request: HttpRequest, grant: Grant | undefined): HttpRequest {
  return grant === undefined ? request : { ...request, headers: { ...request.headers, authorization: grant.token.header } }
}

/** A registry may send uploads and downloads elsewhere, but not out of TLS. */
function refuseDowngrade(request: HttpRequest, origin: string): HttpRequest {
  const { protocol, host } = request.url
  if (protocol === 'https:' || origin.startsWith('http:')) return request
  throw new StrataError(
    'unavailable',
    'STRATA_REDIRECT_REFUSED',
    `Cannot go on at "${host}", where "${new URL(origin).host}" sends us: it is not reached by https`,
  )
}

/** The challenge of an answer that can be met. */
export function chooseChallenge(response: HttpResponse): Challenge | undefined {
  const challenges = parseChallenges(response.headers['www-authenticate'] ?? '')
  return challenges.find(({ scheme }) => scheme === 'bearer') ?? challenges.find(({ scheme }) => scheme === 'basic')
}

/** The credentials themselves. Throws `unauthorized` where there are none. */
export function basicToken(credentials: Credentials | undefined, origin: string): Token {
  if (credentials?.password === undefined) throw unauthorized(origin)
  return { header: basicHeader(credentials.username, credentials.password), expiresAtMs: Infinity }
}
