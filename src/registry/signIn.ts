import { StrataError } from '../base/index.ts'
import { basicToken, chooseChallenge } from './authorization.ts'
import type { Credentials } from './authFile.ts'
import { connectRegistry } from './connectHosts.ts'
import type { RegistryEnvironment } from './hosts/index.ts'
import { answerError } from './registryError.ts'
import { withRetry } from './retry.ts'
import { compose, type HttpRequest, type HttpResponse } from './send.ts'
import { requestToken, type TokenAnswer } from './tokenService.ts'

/**
 * Asks a registry whether it takes credentials. distribution-spec "Determining Support"
 *
 * @param domain of a reference: `docker.io`, `localhost:5000`
 * Resolves with what to keep: an identity token in place of the password where the registry's token service gives one.
 * Rejects with `unauthorized` (STRATA_LOGIN_REFUSED) when it does not take them, and with `unavailable` when nothing answers.
 */
export async function signIn(
  domain: string,
  credentials: Credentials,
  { signal, ...places }: Partial<RegistryEnvironment> & { readonly signal?: AbortSignal } = {},
): Promise<Credentials> {
  const registry = await connectRegistry(domain, places)
  try {
    const send = compose(registry.send, withRetry)
    const url = registry.base
    const ask = (headers: HttpRequest['headers']): Promise<HttpResponse> =>
      send({ method: 'GET', url, headers, ...(signal === undefined ? {} : { signal }) })
    const first = await ask({})
    const challenge = first.status === 401 ? chooseChallenge(first) : undefined
    // A registry that lets everybody in has nothing against these.
    if (challenge === undefined) return await accepted(first, domain, credentials)
    await first.body.discard()
    const { origin } = url
    const token: TokenAnswer =
      challenge.scheme === 'basic'
        ? basicToken(credentials, origin)
        : await requestToken(registry.send, { origin, challenge, scopes: [], credentials, offline: true, signal })
    const { identityToken } = token
    const { username } = credentials
    const kept = identityToken === undefined ? credentials : { username, identityToken }
    return await accepted(await ask({ authorization: token.header }), domain, kept)
  } catch (error) {
    if (error instanceof StrataError && error.code === 'STRATA_UNAUTHORIZED') throw refused(domain)
    throw error
  } finally {
    registry.close()
  }
}

async function accepted(response: HttpResponse, domain: string, kept: Credentials): Promise<Credentials> {
  if (response.status !== 200 && response.status !== 401) throw await answerError(`sign in to "${domain}"`, response)
  await response.body.discard()
  if (response.status === 401) throw refused(domain)
  return kept
}

function refused(domain: string): StrataError {
  return new StrataError('unauthorized', 'STRATA_LOGIN_REFUSED', `Cannot sign in to "${domain}": it does not take these credentials`, {
    hint: 'Check the user name and the password; some registries take an access token only.',
  })
}
