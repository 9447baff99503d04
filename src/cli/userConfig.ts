import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { errnoOf } from '../base/index.ts'
import { configDirectory } from '../engine/index.ts'
import type { Invocation } from './invocation.ts'

/** What `config.json` may say of how commands behave when their flags do not. docker's names. */
type UserSetting = 'detachKeys' | 'imagesFormat' | 'networksFormat' | 'psFormat' | 'volumesFormat'

/** A setting of the user; a file that cannot be read is complained of, and says nothing. */
export function userSetting(invocation: Invocation, name: UserSetting): string | undefined {
  const path = join(configDirectory(invocation.globals.config, invocation.surroundings.env), 'config.json')
  try {
    const config: unknown = JSON.parse(readFileSync(path, 'utf8'))
    const value: unknown = typeof config === 'object' && config !== null ? Reflect.get(config, name) : undefined
    return typeof value === 'string' && value !== '' ? value : undefined
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined
    // Neither the text nor what a parser says of it: there are passwords in it.
    invocation.warn(`Error loading config file: ${path}: it cannot be read, or is not JSON`)
    return undefined
  }
}

/** The keys that detach from a container: those of `--detach-keys`, else the user's. Without a terminal there are none. */
export function detachKeysOf(invocation: Invocation, given: string | undefined, tty: boolean): string | undefined {
  return given ?? (tty ? userSetting(invocation, 'detachKeys') : undefined)
}
