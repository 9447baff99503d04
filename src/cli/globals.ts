import { createLogger, type LogLevel } from '../base/index.ts'
import type { EngineOptions } from '../engine/index.ts'
import { flag, oneOf, optionalFlag, type OptionSpec, type OptionValues, text } from './options.ts'
import type { Surroundings } from './surroundings.ts'

const LOG_LEVELS = ['debug', 'info', 'warn', 'error', 'fatal'] as const

/** Flags before the verb. */
export const GLOBAL_OPTIONS: {
  readonly [K in 'config' | 'root' | 'storage-driver']: OptionSpec<string | undefined>
} & {
  readonly [K in 'debug' | 'version']: OptionSpec<boolean>
} & {
  readonly 'log-level': OptionSpec<(typeof LOG_LEVELS)[number] | undefined>
  readonly 'no-fsync': OptionSpec<boolean | undefined>
} = {
  config: text('Directory of config.json with registry credentials', { shownDefault: '"~/.docker"' }),
  debug: flag('Show what is done, and the causes of errors', { short: 'D' }),
  'log-level': oneOf(LOG_LEVELS, 'What is logged ("debug", "info", "warn", "error", "fatal")', { short: 'l', shownDefault: '"warn"' }),
  'no-fsync': optionalFlag('Never wait for the disk, on a machine that is thrown away: power loss may cost the whole store', {
    shownDefault: '$STRATA_NO_FSYNC',
  }),
  root: text('Directory of the store', { shownDefault: '"/var/lib/strata"' }),
  'storage-driver': text('How layers are kept and mounted (erofs, overlay2, vfs)'),
  version: flag('Print version information and quit', { short: 'v' }),
}

export type Globals = OptionValues<typeof GLOBAL_OPTIONS>

/** Whether what this command acknowledges shall survive power loss. */
export function wantsFsync(globals: Globals, env: Surroundings['env']): boolean {
  return !(globals['no-fsync'] ?? env['STRATA_NO_FSYNC'] === '1')
}

/** What the global flags mean to the engine. */
export function engineOptions(
  globals: Globals,
  { env, log }: { readonly env: Surroundings['env']; readonly log: (line: string) => void },
): EngineOptions {
  const level = globals.debug ? 'debug' : (globals['log-level'] ?? 'warn')
  return {
    ...(globals.root === undefined ? {} : { root: globals.root }),
    ...(globals['storage-driver'] === undefined ? {} : { storageDriver: globals['storage-driver'] }),
    ...(wantsFsync(globals, env) ? {} : { fsync: false }),
    ...(globals.config === undefined ? {} : { configDirectory: globals.config }),
    logger: createLogger((level === 'fatal' ? 'error' : level) satisfies LogLevel, log),
  }
}
