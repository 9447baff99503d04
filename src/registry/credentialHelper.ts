import { findProgram, runProgram, StrataError } from '../base/index.ts'
import type { Credentials } from './authFile.ts'

/* The protocol of docker-credential-helpers: a program is called with a verb, reads from standard input and answers on standard output. */

const HELPER_TIMEOUT_MS = 30_000
/** The user name of what is not a password but an identity token. */
const TOKEN_USER = '<token>'

/** A helper of this machine that is there. */
export interface CredentialHelper {
  readonly name: string
  readonly program: string
}

/**
 * The helper that is called `docker-credential-<name>`; undefined where it is not installed.
 *
 * Rejects with `invalidArgument` (STRATA_CONFIG_INVALID) for what is no program's name.
 */
export async function findHelper(name: string): Promise<CredentialHelper | undefined> {
  if (!/^[\w.-]+$/.test(name))
    throw new StrataError('invalidArgument', 'STRATA_CONFIG_INVALID', `Cannot use credential helper "${name}": it is no program name`)
  const program = await findProgram(`docker-credential-${name}`)
  return program === undefined ? undefined : { name, program }
}

/**
 * What a helper has for a registry. What it prints is in no message.
 *
 * @param key the registry as config.json names it
 * Rejects with `unauthorized` (STRATA_CREDENTIAL_HELPER) when it fails.
 */
export async function getFromHelper(helper: CredentialHelper, key: string): Promise<Credentials | undefined> {
  const output = await run(helper, 'get', { key, input: key })
  if (output === undefined) return undefined
  const answer = readAnswer(output)
  if (answer === undefined) throw helperError(helper.name, { key, state: 'gives no JSON' })
  const { Username: username, Secret: secret } = answer
  if (typeof username !== 'string' || typeof secret !== 'string' || secret === '') return undefined
  return username === TOKEN_USER ? { username, identityToken: secret } : { username, password: secret }
}

/** Has a helper keep credentials. Rejects as `getFromHelper`. */
export async function storeInHelper(
  helper: CredentialHelper,
  key: string,
  { username, password, identityToken }: Credentials,
): Promise<void> {
  const [Username, Secret] = identityToken === undefined ? [username, password] : [TOKEN_USER, identityToken]
  await run(helper, 'store', { key, input: JSON.stringify({ ServerURL: key, Username, Secret }) })
}

/** Has a helper forget what it has for a registry; resolves with whether it had any. Rejects as `getFromHelper`. */
export async function eraseInHelper(helper: CredentialHelper, key: string): Promise<boolean> {
  const had = (await getFromHelper(helper, key)) !== undefined
  await run(helper, 'erase', { key, input: key })
  return had
}

export function helperError(name: string, { key, state }: { readonly key: string; readonly state: string }): StrataError {
  return new StrataError(
    'unauthorized',
    'STRATA_CREDENTIAL_HELPER',
    `Cannot use credentials for "${key}": docker-credential-${name} ${state}`,
  )
}

/** What the helper prints; undefined when it says that it has no such credentials. */
async function run(
  { name, program }: CredentialHelper,
  verb: 'get' | 'store' | 'erase',
  { key, input }: { readonly key: string; readonly input: string },
): Promise<string | undefined> {
  const { code, stdout, stderr } = await runProgram(program, [verb], { input, timeoutMs: HELPER_TIMEOUT_MS })
  if (code === 0) return stdout
  if (/credentials not found/i.test(stdout + stderr)) return undefined
  throw helperError(name, { key, state: code === undefined ? 'was killed' : `ended with ${code}` })
}

/** Undefined for what is no answer; its text may be a secret. */
function readAnswer(text: string): { readonly Username?: unknown; readonly Secret?: unknown } | undefined {
  try {
    return (JSON.parse(text) as { readonly Username?: unknown; readonly Secret?: unknown } | null) ?? undefined
  } catch {
    return undefined
  }
}
