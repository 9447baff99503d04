import { access, copyFile, mkdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { findProgram } from '../../src/base/index.ts'
import { unmountBelow } from '../measure/unmount.ts'
import type { Command } from '../measure/measure.ts'
import { BENCH_CACHE, PEERS_ROOT } from '../places.ts'
import { must } from '../programs.ts'

/** Where the peers' programs are, and how they see our files. */
export interface Peers extends AsyncDisposable {
  /** For people: which system they come from. */
  readonly origin: string
  /** A directory that the peers see too; stores, sockets and inputs are mounted below it. */
  readonly workspace: string
  /** A path below the workspace as the peers' programs name it. */
  inside(path: string): string
  /** A run of one of their programs. */
  command(program: string, args: readonly string[], env?: Readonly<Record<string, string>>): Command
  has(program: string): Promise<boolean>
}

/**
 * The peers of the root that `makePeers.ts` installs, where there is one, else those that this machine
 * has from apt. What this call mounts, disposing unmounts. The images stand in
 * `workspace/images`; `workspace/run` is a memory file system.
 */
export async function openPeers(): Promise<Peers> {
  const root = (await exists(join(PEERS_ROOT, 'usr/bin'))) ? PEERS_ROOT : undefined
  const workspace = join(root ?? '', '/srv/strata-bench')
  const images = join(workspace, 'images')
  const mounted = root === undefined ? [] : await mountRoot(root)
  if (!(await isMounted(images))) {
    await mkdir(images, { recursive: true })
    await must('mount', ['--bind', join(BENCH_CACHE, 'images'), images])
    mounted.push(images)
  }
  const run = join(workspace, 'run')
  if (!(await isMounted(run))) {
    await mkdir(run, { recursive: true })
    await must('mount', ['-t', 'tmpfs', 'tmpfs', run])
    mounted.push(run)
  }
  return {
    origin: root === undefined ? 'this machine' : await systemName(root),
    workspace,
    inside: path => (root === undefined ? path : path.slice(root.length)),
    command: (program, args, env) => ({
      ...(root === undefined ? { file: program, args } : { file: 'chroot', args: [root, program, ...args] }),
      ...(env === undefined ? {} : { env }),
    }),
    has: async program =>
      root === undefined
        ? (await findProgram(program)) !== undefined
        : (await exists(join(root, 'usr/bin', program))) || (await exists(join(root, 'usr/sbin', program))),
    async [Symbol.asyncDispose]() {
      for (const target of mounted.toReversed()) await unmountBelow(target)
    },
  }
}

/**
 * Mounts what programs in a root need; what is mounted already stays as it is.
 *
 * Resolves with what it mounted.
 */
export async function mountRoot(root: string): Promise<string[]> {
  const mounted: string[] = []
  const mount = async (target: string, args: readonly string[]): Promise<void> => {
    if (await isMounted(target)) return
    await must('mount', [...args, target])
    mounted.push(target)
  }
  // Container runtimes pivot away from the root, so it has to be a mount point. Private: what engines mount stays theirs.
  await mount(root, ['--bind', '--make-private', root])
  for (const name of ['proc', 'sys', 'dev']) await mount(join(root, name), ['--rbind', '--make-rslave', `/${name}`])
  await mount(join(root, 'run'), ['-t', 'tmpfs', 'tmpfs'])
  for (const name of ['resolv.conf', 'hosts']) await copyFile(join('/etc', name), join(root, 'etc', name)).catch(() => undefined)
  return mounted
}

async function isMounted(target: string): Promise<boolean> {
  const mounts = await readFile('/proc/self/mountinfo', 'utf8')
  return mounts.split('\n').some(line => line.split(' ')[4] === target)
}

async function systemName(root: string): Promise<string> {
  const release = await readFile(join(root, 'etc/os-release'), 'utf8')
  return /^PRETTY_NAME="?([^"\n]*)/m.exec(release)?.[1] ?? 'a root of their own'
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  )
}
