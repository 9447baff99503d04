import { homedir } from 'node:os'
import { join, resolve } from 'node:path'

/** Where `config.json` is, docker's or one like it. @param asked by an option, before the environment */
export function configDirectory(asked: string | undefined, env: Readonly<Record<string, string | undefined>>): string {
  return resolve(asked ?? env['STRATA_CONFIG'] ?? env['DOCKER_CONFIG'] ?? join(homedir(), '.docker'))
}
