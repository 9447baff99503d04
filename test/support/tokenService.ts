import { createPrivateKey, createSign, randomUUID, type KeyObject, X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { readAtMost } from '../../src/base/index.ts'
import { must } from './commands.ts'

/** One question of a client, by GET or POST. */
export interface TokenRequest {
  readonly method: string
  /** Of the query, or of the form. */
  readonly parameters: URLSearchParams
  readonly authorization: string | undefined
  /** `repository:a:pull`, one each. */
  readonly scopes: readonly string[]
}

/** What the service gives for it; undefined is 401. */
export interface TokenGrant {
  /** The scopes that the token allows. */
  readonly scopes: readonly string[]
  /** What the answer says of its time. Default 300. */
  readonly expiresInSeconds?: number
  /** The token is over already, whatever the answer says. */
  readonly isExpired?: boolean
  readonly identityToken?: string
}

export interface TokenService extends AsyncDisposable {
  /** The options that make docker-registry send its clients here. */
  readonly token: { readonly realm: string; readonly service: string; readonly issuer: string; readonly certificate: string }
  readonly requests: readonly TokenRequest[]
}

const SERVICE = 'registry.test'
const ISSUER = 'tokens.test'

/** A token service with a key of its own, whose tokens docker-registry takes. distribution/distribution docs/spec/auth/jwt.md */
export async function startTokenService(grant: (request: TokenRequest) => TokenGrant | undefined): Promise<TokenService> {
  const directory = await mkdtemp(join(tmpdir(), 'strata-tokens-'))
  const [keyPath, certificate] = [join(directory, 'key.pem'), join(directory, 'certificate.pem')]
  const subject = ['-subj', `/CN=${ISSUER}`, '-days', '2']
  await must('openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-nodes', ...subject, '-keyout', keyPath, '-out', certificate)
  const signer = { key: createPrivateKey(await readFile(keyPath)), certificate: new X509Certificate(await readFile(certificate)) }
  const requests: TokenRequest[] = []
  const answer = async (incoming: IncomingMessage, response: ServerResponse): Promise<void> => {
    const request = await readRequest(incoming)
    requests.push(request)
    const given = grant(request)
    if (given === undefined) {
      response.writeHead(401).end()
      return
    }
    const { expiresInSeconds = 300, identityToken } = given
    const body = {
      token: sign(signer, given),
      expires_in: expiresInSeconds,
      ...(identityToken === undefined ? {} : { refresh_token: identityToken }),
    }
    response.end(JSON.stringify(body))
  }
  const server = createServer((incoming, response) => void answer(incoming, response)).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  return {
    token: { realm: `http://127.0.0.1:${port}/token`, service: SERVICE, issuer: ISSUER, certificate },
    requests,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      server.close()
      await rm(directory, { recursive: true })
    },
  }
}

async function readRequest(incoming: IncomingMessage): Promise<TokenRequest> {
  const { method = '', url = '', headers } = incoming
  const body = (await readAtMost(incoming, 64 * 1024)).toString()
  const parameters = method === 'POST' ? new URLSearchParams(body) : new URL(url, 'http://localhost').searchParams
  const scopes = parameters.getAll('scope').flatMap(scope => scope.split(' '))
  return { method, parameters, authorization: headers.authorization, scopes }
}

function sign(
  { key, certificate }: { readonly key: KeyObject; readonly certificate: X509Certificate },
  { scopes, isExpired = false }: TokenGrant,
): string {
  // docker-registry forgives clocks a minute.
  const now = Math.floor(Date.now() / 1000) - (isExpired ? 3600 : 0)
  const encode = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')
  const access = scopes.map(scope => {
    const [type, name, actions = ''] = scope.split(':')
    return { type, name, actions: actions.split(',') }
  })
  const header = encode({ typ: 'JWT', alg: 'RS256', x5c: [certificate.raw.toString('base64')] })
  const claims = encode({ iss: ISSUER, sub: 'ann', aud: SERVICE, nbf: now - 10, iat: now, exp: now + 300, jti: randomUUID(), access })
  return `${header}.${claims}.${createSign('RSA-SHA256').update(`${header}.${claims}`).sign(key).toString('base64url')}`
}
