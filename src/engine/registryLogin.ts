import { type CallOptions, type Durability, isStrataError, StrataError } from '../base/index.ts'
import { parseReference } from '../oci/index.ts'
import { findCredentials, forgetCredentials, keepCredentials, nameInConfig, signIn } from '../registry/index.ts'
import type { RegistryAccess } from './registryAccess.ts'
import type { Login, LoginOptions, Logout } from './registries.ts'

export interface CredentialPlace extends RegistryAccess {
  readonly durability: Durability
}

/** Signs in with new credentials and keeps them, or with those that the user has. @param server see `Engine.login` */
export async function logIn(
  place: CredentialPlace,
  server: string | undefined,
  options: Partial<LoginOptions> & CallOptions,
): Promise<Login> {
  const domain = domainOf(server)
  const { username, password, signal } = options
  const { systemDirectory, userConfigDirectory } = place
  const call = { systemDirectory, userConfigDirectory, ...(signal === undefined ? {} : { signal }) }
  const name = nameInConfig(domain)
  if (username === undefined || password === undefined) {
    const known = await findCredentials(place.configDirectory, domain)
    if (known?.password === undefined) {
      throw new StrataError('notFound', 'STRATA_NO_CREDENTIALS', `Cannot sign in to "${domain}": there are no credentials for it`)
    }
    await signIn(domain, known, call)
    return { server: name, username: known.username, keeper: undefined }
  }
  // RFC 7617 section 2: the first colon ends the name. An empty password is none.
  if (username === '' || username.includes(':') || password === '') {
    const state = password === '' ? 'the password is empty' : username === '' ? 'the user name is empty' : 'a user name has no colon'
    throw new StrataError('invalidArgument', 'STRATA_INVALID_CREDENTIALS', `Cannot sign in to "${domain}": ${state}`)
  }
  const credentials = await signIn(domain, { username, password }, call)
  const keeper = await keepCredentials(place.configDirectory, domain, { credentials, durability: place.durability, ...call })
  return { server: name, username, keeper }
}

/** Forgets the credentials that docker's configuration has for a registry. */
export async function logOut(place: CredentialPlace, server: string | undefined): Promise<Logout> {
  const domain = domainOf(server)
  const removed = await forgetCredentials(place.configDirectory, domain, place)
  return { server: nameInConfig(domain), removed }
}

/** What people write for a registry, with or without a scheme and a path, as references name it. */
function domainOf(server: string | undefined): string {
  if (server === undefined || server === '') return 'docker.io'
  const host = server.replace(/^https?:\/\//, '').replace(/\/.*$/s, '')
  const domain = domainIn(`${host}/x`)
  if (domain === host || (domain === 'docker.io' && host === 'index.docker.io')) return domain
  throw new StrataError(
    'invalidArgument',
    'STRATA_INVALID_REGISTRY',
    `Cannot use registry ${JSON.stringify(server.replace(/^.*@/s, '…@'))}: it is no host that images are named by`,
    {
      hint: 'A registry has a dot or a port in its name, or is localhost: registry.example.com, localhost:5000.',
    },
  )
}

function domainIn(reference: string): string | undefined {
  try {
    return parseReference(reference).domain
  } catch (error) {
    if (isStrataError(error, 'invalidArgument')) return undefined
    throw error
  }
}
