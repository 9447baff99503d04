import { chown, open, readlink, realpath, stat } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { type Durability, errnoOf, makeDirectory, publishFile, StrataError, systemError } from '../base/index.ts'
import { lockFile } from '../host/index.ts'
import { authFileOf, type Credentials, isObject, type JsonObject, readAuthFile, readJsonFile, registryOfKey } from './authFile.ts'
import { eraseInHelper, findHelper, helperError, storeInHelper } from './credentialHelper.ts'
import { dockerHelper, nameInConfig } from './credentials.ts'

/** Where credentials are kept: in a file as they are, or by a helper. */
export type Keeper = { readonly kind: 'file'; readonly path: string } | { readonly kind: 'helper'; readonly name: string }

interface Writing {
  readonly durability: Durability
  /** Ends the wait for another process that writes. */
  readonly signal?: AbortSignal
}

/** The fields of an entry that are credentials; whatever else stands in it stays. */
const SECRET_FIELDS: ReadonlySet<string> = new Set(['auth', 'identitytoken', 'registrytoken', 'username', 'password'])

/**
 * Keeps the credentials for a registry where docker would: with the helper that `config.json` names for it, else in that file
 * (0600). All else that stands in the file stays, also what other processes write there at the same time by this function.
 *
 * @param directory where `config.json` is, or shall be; the file may be a symlink
 * @param domain of a reference: `docker.io`, `localhost:5000`
 * Resolves with where they are when that survives power loss. Rejects as `findCredentials`.
 */
export async function keepCredentials(
  directory: string,
  domain: string,
  { credentials, ...writing }: Writing & { readonly credentials: Credentials },
): Promise<Keeper> {
  const path = join(directory, 'config.json')
  const key = nameInConfig(domain)
  const helper = dockerHelper(await readAuthFile(path), domain)
  if (helper !== undefined) {
    const found = await findHelper(helper.name)
    if (found === undefined) throw helperError(helper.name, { key, state: 'is not installed' })
    await storeInHelper(found, key, credentials)
  }
  const entry = helper === undefined ? entryOf(credentials) : {}
  await changeFile(path, writing, auths => ({ ...auths, [key]: { ...withoutSecrets(auths[key]), ...entry } }))
  return helper === undefined ? { kind: 'file', path } : { kind: 'helper', name: helper.name }
}

/**
 * Forgets the credentials for a registry, wherever `config.json` says that they are, under each name that
 * it has for the registry. Parameters and errors are those of `keepCredentials`.
 *
 * Resolves with whether there were any.
 */
export async function forgetCredentials(directory: string, domain: string, writing: Writing): Promise<boolean> {
  const path = join(directory, 'config.json')
  const file = await readAuthFile(path)
  const names = [...file.entries.keys()].filter(name => registryOfKey(name) === domain)
  const helper = dockerHelper(file, domain)
  const found = helper === undefined ? undefined : await findHelper(helper.name)
  let isKept = names.length > 0
  if (found !== undefined) for (const key of new Set([nameInConfig(domain), ...names])) isKept = (await eraseInHelper(found, key)) || isKept
  if (names.length > 0)
    await changeFile(path, writing, auths => Object.fromEntries(Object.entries(auths).filter(([name]) => registryOfKey(name) !== domain)))
  return isKept
}

function entryOf({ username, password = '', identityToken }: Credentials): JsonObject {
  const auth = Buffer.from(`${username}:${password}`).toString('base64')
  return identityToken === undefined ? { auth } : { auth, identitytoken: identityToken }
}

function withoutSecrets(entry: unknown): JsonObject {
  return isObject(entry) ? Object.fromEntries(Object.entries(entry).filter(([name]) => !SECRET_FIELDS.has(name))) : {}
}

/** Changes the `auths` of a configuration file, one process after the other: the lock is the directory that the file really is in. */
async function changeFile(path: string, { durability, signal }: Writing, change: (auths: JsonObject) => JsonObject): Promise<void> {
  try {
    await makeDirectory(dirname(path))
    const real = await followed(path)
    await using directory = await open(dirname(real), 'r')
    await lockFile(directory.fd, 'exclusive', { signal })
    const json = await readJsonFile(real)
    authFileOf(json, path)
    const { auths } = json
    const changed = { ...json, auths: change(isObject(auths) ? auths : {}) }
    const before = await stat(real).catch(() => undefined)
    await publishFile(real, JSON.stringify(changed, undefined, '\t'), durability)
    // With sudo it is still the user's file.
    if (before !== undefined && before.uid !== process.geteuid?.()) await chown(real, before.uid, before.gid)
  } catch (error) {
    if (signal?.aborted === true)
      throw new StrataError('cancelled', 'STRATA_CANCELLED', `Cannot write "${path}": it was cancelled`, { cause: error })
    throw systemError(`write "${path}"`, error)
  }
}

/** The file that a path leads to, which need not be there yet. */
async function followed(path: string): Promise<string> {
  try {
    return await realpath(path)
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error
  }
  const directory = await realpath(dirname(path))
  const target = await readlink(path).catch(() => undefined)
  return target === undefined ? join(directory, basename(path)) : followed(resolve(directory, target))
}
