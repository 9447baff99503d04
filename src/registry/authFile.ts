import { readIfExists, StrataError, systemError } from '../base/index.ts'

/** What a registry may ask for. Never part of a message or a log. */
export interface Credentials {
  readonly username: string
  readonly password?: string
  /** A refresh token that a token service gave for a password. */
  readonly identityToken?: string
}

/** What docker's `config.json` and podman's `auth.json` say of credentials. */
export interface AuthFile {
  /** By the name that the file has for a registry or a namespace; undefined where a helper has them. */
  readonly entries: ReadonlyMap<string, Credentials | undefined>
  /** The helper of all registries that have none of their own. */
  readonly store: string | undefined
  /** The helpers of single registries. */
  readonly helpers: ReadonlyMap<string, string>
}

/** A JSON object as it was read; its names may be those of Object's own methods. */
export type JsonObject = Readonly<Record<string, unknown>>

/** The name under which docker keeps Docker Hub's credentials. */
export const HUB_KEY = 'https://index.docker.io/v1/'
const HUB_HOSTS: ReadonlySet<string> = new Set(['docker.io', 'index.docker.io'])

/**
 * Reads a credential file; empty where there is none.
 *
 * Rejects with `invalidArgument` (STRATA_CONFIG_INVALID) for a file that is not one. Nothing of its text is in the message.
 */
export async function readAuthFile(path: string): Promise<AuthFile> {
  return authFileOf(await readJsonFile(path), path)
}

/** The whole of a configuration file, whose other fields are not ours; empty where there is none. Rejects as `readAuthFile`. */
export async function readJsonFile(path: string): Promise<JsonObject> {
  const bytes = await readIfExists(path).catch((error: unknown) => {
    throw systemError(`read "${path}"`, error)
  })
  // docker takes an empty file for an empty object.
  if (bytes === undefined || bytes.length === 0) return {}
  let value: unknown
  try {
    value = JSON.parse(bytes.toString())
  } catch {
    // What a parser says quotes the text, and there are passwords in it.
    throw invalid(path, 'it is not JSON')
  }
  if (!isObject(value)) throw invalid(path, 'it is not a JSON object')
  return value
}

/** @param path for messages. Throws as `readAuthFile` rejects. */
export function authFileOf(json: JsonObject, path: string): AuthFile {
  const entries = Object.entries(objectIn(json, 'auths', path)).map(([name, entry]) => {
    if (!isObject(entry)) throw invalid(path, 'an entry of "auths" is not an object')
    return [name, credentialsIn(entry, path)] as const
  })
  const helpers = Object.entries(objectIn(json, 'credHelpers', path)).map(([name, helper]) => {
    if (typeof helper !== 'string') throw invalid(path, 'an entry of "credHelpers" is not text')
    return [name, helper] as const
  })
  return { entries: new Map(entries), store: textIn(json, 'credsStore', path), helpers: new Map(helpers) }
}

/** `auth` is `user:password` in base64; old files have both as plain text. */
function credentialsIn(entry: JsonObject, path: string): Credentials | undefined {
  const [, user, secret] = /^([^:]*):(.*)$/s.exec(Buffer.from(textIn(entry, 'auth', path) ?? '', 'base64').toString()) ?? []
  const username = textIn(entry, 'username', path) ?? user ?? ''
  const identityToken = textIn(entry, 'identitytoken', path)
  if (identityToken !== undefined) return { username, identityToken }
  const password = textIn(entry, 'password', path) ?? secret
  return password === undefined || password === '' ? undefined : { username, password }
}

/** The registry that an entry's name means: older tools wrote the host with a scheme and a path. */
export function registryOfKey(key: string): string {
  const host = key.replace(/^https?:\/\//, '').replace(/\/.*$/s, '')
  return HUB_HOSTS.has(host) ? 'docker.io' : host
}

function objectIn(json: JsonObject, name: string, path: string): JsonObject {
  const value = Object.hasOwn(json, name) ? (json[name] ?? {}) : {}
  if (!isObject(value)) throw invalid(path, `"${name}" is not an object`)
  return value
}

/** Undefined for '' as well: Go programs write it for nothing. */
function textIn(json: JsonObject, name: string, path: string): string | undefined {
  const value = Object.hasOwn(json, name) ? (json[name] ?? '') : ''
  if (typeof value !== 'string') throw invalid(path, `"${name}" is not text`)
  return value === '' ? undefined : value
}

export const isObject = (value: unknown): value is JsonObject => typeof value === 'object' && value !== null && !Array.isArray(value)

export function invalid(path: string, state: string): StrataError {
  return new StrataError('invalidArgument', 'STRATA_CONFIG_INVALID', `Cannot read "${path}": ${state}`)
}
