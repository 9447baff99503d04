import { homedir } from 'node:os'
import { join } from 'node:path'
import { isStrataError } from '../base/index.ts'
import { type AuthFile, type Credentials, HUB_KEY, readAuthFile, registryOfKey } from './authFile.ts'
import { findHelper, getFromHelper, helperError } from './credentialHelper.ts'

const NOTHING: AuthFile = { entries: new Map(), store: undefined, helpers: new Map() }

export interface CredentialSources {
  /** The repository in the registry: credentials for a namespace around it come before those of the registry. */
  readonly path?: string
  /** Where podman's and skopeo's `auth.json` is. Default that of this process. */
  readonly env?: Readonly<Record<string, string | undefined>>
}

/**
 * The user's credentials for a registry: from docker's `config.json`, where a credential helper of the registry, the store,
 * or the file itself has them; else from an `auth.json` of podman and skopeo (containers-auth.json(5)), where they
 * may be for a namespace only. Undefined where there are none.
 *
 * @param directory where `config.json` is
 * @param domain of a reference: `docker.io`, `localhost:5000`
 * Rejects with `invalidArgument` (STRATA_CONFIG_INVALID) when a file cannot be read, and with `unauthorized`
 * (STRATA_CREDENTIAL_HELPER) when the registry's helper is not there or fails.
 */
export async function findCredentials(
  directory: string,
  domain: string,
  { path, env = process.env }: CredentialSources = {},
): Promise<Credentials | undefined> {
  const own = await dockerCredentials(await readAuthFile(join(directory, 'config.json')), domain)
  if (own !== undefined) return own
  for (const file of containersAuthFiles(env)) {
    const auth = file === env['REGISTRY_AUTH_FILE'] ? await readAuthFile(file) : await readIfOurs(file)
    const found = await containersCredentials(auth, domain, path)
    if (found !== undefined) return found
  }
  return undefined
}

/** With `su` the run-time directory in the environment can be somebody else's: what is there is not for us. */
async function readIfOurs(path: string): Promise<AuthFile> {
  try {
    return await readAuthFile(path)
  } catch (error) {
    if (isStrataError(error, 'permissionDenied')) return NOTHING
    throw error
  }
}

/** The helper that docker's configuration names for a registry, and the registry's name in it. */
export function dockerHelper({ helpers, store }: AuthFile, domain: string): { readonly name: string; readonly isOwn: boolean } | undefined {
  const own = helpers.get(nameInConfig(domain)) ?? helpers.get(domain)
  const name = own ?? store
  return name === undefined || name === '' ? undefined : { name, isOwn: own !== undefined }
}

/** The helper that docker's configuration names for a registry, where it is not installed: whoever finds no credentials hears of it. */
export async function missingHelper(directory: string, domain: string): Promise<string | undefined> {
  const helper = dockerHelper(await readAuthFile(join(directory, 'config.json')), domain)
  return helper === undefined || (await findHelper(helper.name)) !== undefined ? undefined : `docker-credential-${helper.name}`
}

/** A registry's name in docker's `config.json`. */
export function nameInConfig(domain: string): string {
  return domain === 'docker.io' ? HUB_KEY : domain
}

async function dockerCredentials(file: AuthFile, domain: string): Promise<Credentials | undefined> {
  const key = nameInConfig(domain)
  const helper = dockerHelper(file, domain)
  // A file that was copied here from elsewhere names a store that is not here: it says nothing of this registry.
  const stored = helper === undefined ? undefined : await askHelper(helper.name, { key, mayLack: !helper.isOwn })
  if (stored !== undefined || file.entries.has(key)) return stored ?? file.entries.get(key)
  return [...file.entries].find(([name]) => registryOfKey(name) === domain)?.[1]
}

interface Question {
  readonly key: string
  /** Whether a helper that is not installed has no credentials, and is no error. */
  readonly mayLack: boolean
}

async function askHelper(name: string, { key, mayLack }: Question): Promise<Credentials | undefined> {
  const helper = await findHelper(name)
  if (helper !== undefined) return getFromHelper(helper, key)
  if (mayLack) return undefined
  throw helperError(name, { key, state: 'is not installed' })
}

/** Where containers' tools keep credentials, the first to be asked first. containers-auth.json(5), podman-login(1) */
function containersAuthFiles(env: Readonly<Record<string, string | undefined>>): readonly string[] {
  const { REGISTRY_AUTH_FILE: asked, XDG_RUNTIME_DIR: runtime, XDG_CONFIG_HOME: config, HOME: home } = env
  if (asked !== undefined && asked !== '') return [asked]
  const uid = process.getuid?.()
  return [
    ...(runtime === undefined || runtime === '' ? [] : [join(runtime, 'containers/auth.json')]),
    ...(uid === undefined ? [] : [`/run/containers/${uid}/auth.json`]),
    join(config === undefined || config === '' ? join(home ?? homedir(), '.config') : config, 'containers/auth.json'),
  ]
}

/** The longest name that the repository is in decides: `host/team/app`, `host/team`, `host`. */
async function containersCredentials(file: AuthFile, domain: string, path: string | undefined): Promise<Credentials | undefined> {
  for (const name of namespaces(domain, path)) {
    const helper = file.helpers.get(name)
    if (helper !== undefined && helper !== '') return askHelper(helper, { key: name, mayLack: false })
    const found = file.entries.get(name)
    if (found !== undefined) return found
  }
  // Names with a scheme are docker's, who has no namespaces.
  return [...file.entries].find(([name]) => registryOfKey(name) === domain && (/^https?:\/\//.test(name) || !name.includes('/')))?.[1]
}

function namespaces(domain: string, path: string | undefined): readonly string[] {
  const parts = path === undefined ? [] : path.split('/')
  return Array.from({ length: parts.length + 1 }, (_, cut) => [domain, ...parts.slice(0, parts.length - cut)].join('/'))
}
