import { mkdir, writeFile } from 'node:fs/promises'
import { request } from 'node:http'
import { join } from 'node:path'
import { once } from 'node:events'
import { Daemon } from '../peers/daemon.ts'
import type { Peers } from '../peers/peers.ts'
import { must } from '../programs.ts'
import type { Contender, Verbs } from './contender.ts'

/** Docker's daemon with overlay2, told what to do by its own command line. It touches no firewall rule and makes no bridge. */
export function dockerd(peers: Peers): Contender {
  return {
    name: 'dockerd',
    async versions() {
      const { file, args } = peers.command('dockerd', ['--version'])
      return (await must(file, args)).trim()
    },
    async open({ directory, runDirectory, inGroup }) {
      const socket = join(runDirectory, 'dockerd.sock')
      const configFile = join(runDirectory, 'daemon.json')
      await writeFile(configFile, '{}')
      await mkdir(join(runDirectory, 'exec'))
      const flags = {
        'data-root': peers.inside(directory),
        'exec-root': peers.inside(join(runDirectory, 'exec')),
        pidfile: peers.inside(join(runDirectory, 'dockerd.pid')),
        'config-file': peers.inside(configFile),
        host: `unix://${peers.inside(socket)}`,
        'storage-driver': 'overlay2',
        bridge: 'none',
        iptables: 'false',
        ip6tables: 'false',
      }
      const daemon = await Daemon.start(
        inGroup(
          peers.command(
            'dockerd',
            Object.entries(flags).map(([name, value]) => `--${name}=${value}`),
          ),
        ),
        {
          log: join(runDirectory, 'dockerd.log'),
          answers: async () => ping(socket),
        },
      )
      const docker = (...args: readonly string[]) => peers.command('docker', ['--host', `unix://${peers.inside(socket)}`, ...args])
      const verbs: Omit<Verbs, 'copy'> = {
        pull: reference => docker('pull', reference),
        push: reference => docker('push', reference),
        load: archive => docker('load', '-i', peers.inside(archive)),
        save: (image, file) => docker('save', '-o', peers.inside(file), image),
        run: (image, argv) => docker('run', '--rm', '--network', 'none', image, ...argv),
        images: () => docker('images'),
        history: image => docker('history', image),
        inspect: image => docker('image', 'inspect', image),
        tag: (image, reference) => docker('tag', image, reference),
        rmi: image => docker('rmi', image),
        change: (container, image, argv) => docker('run', '--name', container, '--network', 'none', image, ...argv),
        commit: (container, image) => docker('commit', container, image),
        keep: (container, image) => docker('run', '--detach', '--name', container, '--network', 'none', image, 'sleep', '100000'),
        exec: (container, argv) => docker('exec', container, ...argv),
        remove: container => docker('rm', '--force', container),
      }
      return { verbs, [Symbol.asyncDispose]: async () => daemon[Symbol.asyncDispose]() }
    },
  }
}

async function ping(socketPath: string): Promise<void> {
  const asked = request({ socketPath, path: '/_ping' }).end()
  const [answer] = (await once(asked, 'response')) as [{ statusCode: number; resume(): void }]
  answer.resume()
  if (answer.statusCode !== 200) throw new Error(`Cannot reach dockerd: status ${answer.statusCode}`)
}
