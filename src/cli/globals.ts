import { createLogger, type LogLevel } from '../base/index.ts'
import type { EngineOptions } from '../engine/index.ts'
import { flag, oneOf, type OptionSpec, type OptionValues, text } from './options.ts'

const LOG_LEVELS = ['debug', 'info', 'warn', 'error', 'fatal'] as const

/** Flags before the verb. */
export const GLOBAL_OPTIONS: {
  readonly [K in 'config' | 'root' | 'storage-driver']: OptionSpec<string | undefined>
} & {
  readonly [K in 'debug' | 'version']: OptionSpec<boolean>
} & {
  readonly 'log-level': OptionSpec<(typeof LOG_LEVELS)[number] | undefined>
} = {
  config: text('Directory of config.json with registry credentials', { shownDefault: '"~/.docker"' }),
  debug: flag('Show what is done, and the causes of errors', { short: 'D' }),
  'log-level': oneOf(LOG_LEVELS, 'What is logged ("debug", "info", "warn", "error", "fatal")', { short: 'l', shownDefault: '"warn"' }),
  root: text('Directory of the store', { shownDefault: '"/var/lib/strata"' }),
  'storage-driver': text('How layers are kept and mounted (overlay2, erofs, vfs)'),
  version: flag('Print version information and quit', { short: 'v' }),
}

export type Globals = OptionValues<typeof GLOBAL_OPTIONS>

/** What the global flags mean to the engine. */
export function engineOptions(globals: Globals, log: (line: string) => void): EngineOptions {
  const level = globals.debug ? 'debug' : (globals['log-level'] ?? 'warn')
  return {
    ...(globals.root === undefined ? {} : { root: globals.root }),
    ...(globals['storage-driver'] === undefined ? {} : { storageDriver: globals['storage-driver'] }),
    ...(globals.config === undefined ? {} : { configDirectory: globals.config }),
    logger: createLogger((level === 'fatal' ? 'error' : level) satisfies LogLevel, log),
  }
}
