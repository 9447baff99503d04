import { join } from 'node:path'
import { readIfExists } from '../base/index.ts'
import { configDirectory } from '../engine/index.ts'
import type { Invocation } from './invocation.ts'

/** What `config.json` may say of how commands behave when their flags do not. docker's names. */
type UserSetting = 'detachKeys' | 'imagesFormat' | 'networksFormat' | 'psFormat' | 'volumesFormat'

/** A setting of the user; a file that cannot be read is complained of, and says nothing. */
export async function userSetting(invocation: Invocation, name: UserSetting): Promise<string | undefined> {
  const path = join(configDirectory(invocation.globals.config, invocation.surroundings.env), 'config.json')
  try {
    const text = await readIfExists(path)
    const config: unknown = text === undefined ? undefined : JSON.parse(text.toString())
    const value: unknown = typeof config === 'object' && config !== null ? Reflect.get(config, name) : undefined
    return typeof value === 'string' && value !== '' ? value : undefined
  } catch {
    // Neither the text nor what a parser says of it: there are passwords in it.
    invocation.warn(`Error loading config file: ${path}: it cannot be read, or is not JSON`)
    return undefined
  }
}

/** The keys that detach from a container: those of `--detach-keys`, else the user's. Without a terminal there are none. */
export async function detachKeysOf(invocation: Invocation, given: string | undefined, tty: boolean): Promise<string | undefined> {
  return given ?? (tty ? await userSetting(invocation, 'detachKeys') : undefined)
}
