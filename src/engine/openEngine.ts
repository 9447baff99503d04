import { homedir } from 'node:os'
import { join, resolve } from 'node:path'
import { Durability, silentLogger } from '../base/index.ts'
import type { Engine } from './engine.ts'
import { configDirectory } from './configDirectory.ts'
import type { EngineOptions } from './engineOptions.ts'

/**
 * Opens an installation, and makes it where there is none. Costs little: parts are loaded by the first
 * method that needs them.
 *
 * Rejects with `permissionDenied` for a root that this user may not use, and with `invalidArgument`
 * (STRATA_NOT_A_ROOT) for a directory that holds something else.
 */
export async function openEngine(options: EngineOptions = {}): Promise<Engine> {
  const { LocalEngine } = await import('./localEngine.ts')
  return new LocalEngine({
    root: resolve(options.root ?? process.env['STRATA_ROOT'] ?? defaultRoot()),
    storageDriver: options.storageDriver,
    durability: new Durability(options.fsync ?? true),
    configDirectory: configDirectory(options.configDirectory, process.env),
    systemDirectory: resolve(options.systemDirectory ?? '/etc'),
    userConfigDirectory: resolve(options.userConfigDirectory ?? process.env['XDG_CONFIG_HOME'] ?? join(homedir(), '.config')),
    logger: options.logger ?? silentLogger,
  })
}

function defaultRoot(): string {
  if (process.geteuid?.() === 0) return '/var/lib/strata'
  return join(process.env['XDG_DATA_HOME'] ?? join(homedir(), '.local/share'), 'strata')
}
