import { appendFile, chmod, copyFile, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { must } from '../programs.ts'
import { SeededRandom } from './random.ts'

/** A minimal system of the release that this machine has, from the archive that apt uses here. */
export async function bootstrap(directory: string): Promise<void> {
  const release = await readFile('/etc/os-release', 'utf8')
  const suite = /^VERSION_CODENAME=(\S+)/m.exec(release)?.[1] ?? 'stable'
  const [archive = ''] = (await must('apt-get', ['indextargets', '--format', '$(REPO_URI)'])).split('\n')
  await must('/usr/sbin/debootstrap', ['--variant=minbase', suite, directory, archive])
  await forgetPackages(directory)
}

/** Installs Debian packages in a root. */
export async function installPackages(root: string, packages: readonly string[]): Promise<void> {
  await copyFile('/etc/resolv.conf', join(root, 'etc/resolv.conf'))
  // Services of the packages are not started on this machine.
  const policy = join(root, 'usr/sbin/policy-rc.d')
  await writeFile(policy, '#!/bin/sh\nexit 101\n')
  await chmod(policy, 0o755)
  await must('mount', ['-t', 'proc', 'proc', join(root, 'proc')])
  try {
    const script = 'export DEBIAN_FRONTEND=noninteractive; apt-get update && apt-get install -y --no-install-recommends "$@"'
    await must('chroot', [root, 'sh', '-c', script, 'sh', ...packages])
  } finally {
    await must('umount', [join(root, 'proc')])
  }
  await rm(policy)
  await forgetPackages(root)
}

/** What packages have been downloaded is no part of an image that somebody cares for. */
async function forgetPackages(root: string): Promise<void> {
  const [archives, lists] = [join(root, 'var/cache/apt/archives'), join(root, 'var/lib/apt/lists')]
  for (const path of [archives, lists]) {
    await rm(path, { recursive: true, force: true })
    await mkdir(join(path, 'partial'), { recursive: true })
  }
}

/** An application with its dependencies from npm, none of whose scripts runs. */
export async function installModules(root: string, dependencies: Readonly<Record<string, string>>, cache: string): Promise<void> {
  const application = join(root, 'app')
  await mkdir(application)
  await writeFile(join(application, 'package.json'), JSON.stringify({ name: 'bench', version: '1.0.0', private: true, dependencies }))
  const flags = ['--ignore-scripts', '--no-audit', '--no-fund', '--legacy-peer-deps', '--cache', cache]
  await must('npm', ['install', ...flags], { cwd: application })
}

/** What a day's work does to the application: files change, go and come, a package goes, one is replaced as a whole. */
export async function changeApplication(root: string, step: number, changes: number): Promise<void> {
  const random = new SeededRandom(step)
  const modules = join(root, 'app/node_modules')
  const entries = await readdir(modules, { recursive: true, withFileTypes: true })
  const files = entries
    .filter(entry => entry.isFile())
    .map(entry => join(entry.parentPath, entry.name))
    .sort()
  for (let index = 0; index < changes; index += 1) await appendFile(random.take(files), `\n// changed in step ${step}\n`)
  for (let index = 0; index < changes / 3; index += 1) await rm(random.take(files))
  const packages = (await readdir(modules)).filter(name => !/^[.@]/.test(name)).sort()
  await rm(join(modules, random.take(packages)), { recursive: true })
  const replaced = join(modules, random.take(packages))
  await rm(replaced, { recursive: true })
  await mkdir(replaced)
  await writeFile(join(replaced, 'index.js'), `module.exports = ${step}\n`)
  const sources = join(root, 'app/src', `step${step}`)
  await mkdir(sources, { recursive: true })
  for (let index = 0; index < 200; index += 1) {
    await writeFile(join(sources, `file${index}.js`), `export const value${index} = ${step};\n`.repeat(random.between(5, 199)))
  }
}
