import { join } from 'node:path'
import { findProgram, readIfExists, runProgram, StrataError, systemError } from '../base/index.ts'

/** What a registry may ask for. Never part of a message or a log. */
export interface Credentials {
  readonly username: string
  readonly password?: string
  /** A refresh token that a token service gave for a password. */
  readonly identityToken?: string
}

interface ConfigFile {
  readonly auths?: Readonly<
    Record<string, { readonly auth?: string; readonly identitytoken?: string; readonly username?: string; readonly password?: string }>
  >
  readonly credsStore?: string
  readonly credHelpers?: Readonly<Record<string, string>>
}

/** The name under which docker keeps Docker Hub's credentials. */
const HUB_KEY = 'https://index.docker.io/v1/'
const HELPER_TIMEOUT_MS = 30_000

/**
 * The credentials for a registry from docker's `config.json`: from a credential helper of that
 * registry, from the store, or from the file itself. Undefined where there are none.
 *
 * @param directory where `config.json` is
 * @param domain of a reference: `docker.io`, `localhost:5000`
 * Rejects with `invalidArgument` (STRATA_CONFIG_INVALID) when the file cannot be read, and with `unauthorized`
 * (STRATA_CREDENTIAL_HELPER) when the registry's helper is not there or fails.
 */
export async function findCredentials(directory: string, domain: string): Promise<Credentials | undefined> {
  const config = await readConfig(join(directory, 'config.json'))
  const key = domain === 'docker.io' ? HUB_KEY : domain
  const own = config.credHelpers?.[key] ?? config.credHelpers?.[domain]
  const helper = own ?? config.credsStore
  if (helper === undefined || helper === '') return fromFile(config, key)
  // A file that was copied here from elsewhere names a store that is not here: it says nothing of this registry.
  return (await askHelper(helper, { key, mayLack: own === undefined })) ?? fromFile(config, key)
}

async function readConfig(path: string): Promise<ConfigFile> {
  const bytes = await readIfExists(path).catch((error: unknown) => {
    throw systemError(`read "${path}"`, error)
  })
  if (bytes === undefined) return {}
  try {
    return JSON.parse(bytes.toString()) as ConfigFile
  } catch (cause) {
    throw new StrataError('invalidArgument', 'STRATA_CONFIG_INVALID', `Cannot read "${path}": it is not JSON`, { cause })
  }
}

function fromFile(config: ConfigFile, key: string): Credentials | undefined {
  // Older tools wrote the host with a scheme or a path.
  const entry = Object.entries(config.auths ?? {}).find(
    ([name]) => name === key || name.replace(/^https?:\/\//, '').replace(/\/.*$/, '') === key,
  )?.[1]
  if (entry === undefined) return undefined
  const [username = '', ...rest] = Buffer.from(entry.auth ?? '', 'base64')
    .toString()
    .split(':')
  const password = entry.password ?? (rest.length === 0 ? undefined : rest.join(':'))
  const name = entry.username ?? username
  if (entry.identitytoken !== undefined && entry.identitytoken !== '') return { username: name, identityToken: entry.identitytoken }
  return password === undefined ? undefined : { username: name, password }
}

interface Question {
  readonly key: string
  /** Whether a helper that is not installed has no credentials, and is no error. */
  readonly mayLack: boolean
}

/** The protocol of docker-credential-helpers: the key on standard input, JSON back. What a helper prints is in no message. */
async function askHelper(name: string, { key, mayLack }: Question): Promise<Credentials | undefined> {
  if (!/^[\w.-]+$/.test(name))
    throw new StrataError('invalidArgument', 'STRATA_CONFIG_INVALID', `Cannot use credential helper "${name}": it is no program name`)
  const program = await findProgram(`docker-credential-${name}`)
  const failed = (state: string): StrataError =>
    new StrataError('unauthorized', 'STRATA_CREDENTIAL_HELPER', `Cannot get credentials for "${key}": docker-credential-${name} ${state}`)
  if (program === undefined) {
    if (mayLack) return undefined
    throw failed('is not installed')
  }
  const { code, stdout, stderr } = await runProgram(program, ['get'], { input: key, timeoutMs: HELPER_TIMEOUT_MS })
  if (code !== 0) {
    if (/credentials not found/i.test(stdout + stderr)) return undefined
    throw failed(`ended with ${code}`)
  }
  const answer = readAnswer(stdout)
  if (answer === undefined) throw failed('gives no JSON')
  const { Username, Secret } = answer
  if (Username === undefined || Secret === undefined || Secret === '') return undefined
  return Username === '<token>' ? { username: Username, identityToken: Secret } : { username: Username, password: Secret }
}

/** Undefined for what is no answer; its text may be a secret. */
function readAnswer(text: string): { readonly Username?: string; readonly Secret?: string } | undefined {
  try {
    return (JSON.parse(text) as { readonly Username?: string; readonly Secret?: string } | null) ?? undefined
  } catch {
    return undefined
  }
}
