import { copyFile, mkdir, mkdtemp, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'

/** The configuration of a machine and a user of a test's own, as options of `openEngine` and `connectRepository`. */
export interface MachineFiles {
  readonly configDirectory: string
  readonly systemDirectory: string
  readonly userConfigDirectory: string
}

/**
 * Makes the files of such a machine, none of which is there by default.
 *
 * @param files paths below `etc/`, `config/` (the user's) and `docker/` (with config.json) → content; an object is written as JSON, `{ copy }` copies a file
 */
export async function machineFiles(scratch: string, files: Readonly<Record<string, string | object>> = {}): Promise<MachineFiles> {
  const root = await mkdtemp(join(scratch, 'machine-'))
  for (const [path, content] of Object.entries(files)) {
    const target = join(root, path)
    await mkdir(dirname(target), { recursive: true })
    if (typeof content === 'object' && 'copy' in content) await copyFile(content.copy as string, target)
    else await writeFile(target, typeof content === 'string' ? content : JSON.stringify(content))
  }
  return { configDirectory: join(root, 'docker'), systemDirectory: join(root, 'etc'), userConfigDirectory: join(root, 'config') }
}
