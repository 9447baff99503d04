import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Daemon } from '../peers/daemon.ts'
import type { Peers } from '../peers/peers.ts'
import { must } from '../programs.ts'
import type { Contender, Verbs } from './contender.ts'

/** containerd with its overlayfs snapshotter, told what to do by ctr. It has no commit of a container. */
export function containerd(peers: Peers): Contender {
  return {
    name: 'ctr',
    async versions() {
      const { file, args } = peers.command('containerd', ['--version'])
      return (await must(file, args)).trim()
    },
    async open({ directory, runDirectory, inGroup }) {
      const path = (name: string): string => peers.inside(join(runDirectory, name))
      const address = path('containerd.sock')
      const config = [
        'version = 2',
        `root = "${peers.inside(directory)}"`,
        `state = "${path('state')}"`,
        'disabled_plugins = ["io.containerd.grpc.v1.cri"]',
        '[grpc]',
        `address = "${address}"`,
        '[ttrpc]',
        `address = "${path('ttrpc.sock')}"`,
      ]
      await writeFile(join(runDirectory, 'config.toml'), config.join('\n'))
      const ctr = (...args: readonly string[]) => peers.command('ctr', ['--address', address, ...args])
      const daemon = await Daemon.start(inGroup(peers.command('containerd', ['--config', path('config.toml')])), {
        log: join(runDirectory, 'containerd.log'),
        answers: async () => {
          const { file, args } = ctr('version')
          await must(file, args)
        },
      })
      let serial = 0
      const verbs: Partial<Verbs> = {
        pull: reference => ctr('images', 'pull', '--plain-http', reference),
        push: reference => ctr('images', 'push', '--plain-http', reference),
        load: archive => ctr('images', 'import', peers.inside(archive)),
        save: (image, file) => ctr('images', 'export', peers.inside(file), image),
        run: (image, argv) => ctr('run', '--rm', image, `c${(serial += 1)}`, ...argv),
        images: () => ctr('images', 'ls'),
        tag: (image, reference) => ctr('images', 'tag', image, reference),
        rmi: image => ctr('images', 'rm', '--sync', image),
      }
      return { verbs, [Symbol.asyncDispose]: async () => daemon[Symbol.asyncDispose]() }
    },
  }
}
