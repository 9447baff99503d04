import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { Peers } from '../peers/peers.ts'
import { must } from '../programs.ts'
import type { Contender, Verbs } from './contender.ts'

/** Podman with overlay. */
export function podman(peers: Peers): Contender {
  return {
    name: 'podman',
    async versions() {
      const { file, args } = peers.command('podman', ['--version'])
      return (await must(file, args)).trim()
    },
    async open({ directory, runDirectory }) {
      const temporary = join(directory, 'tmp')
      await mkdir(temporary, { recursive: true })
      const global = {
        root: peers.inside(join(directory, 'storage')),
        runroot: peers.inside(join(runDirectory, 'storage')),
        tmpdir: peers.inside(join(runDirectory, 'tmp')),
        'storage-driver': 'overlay',
        // crun refuses machines with both cgroup hierarchies; runc takes all of them.
        runtime: 'runc',
        'cgroup-manager': 'cgroupfs',
        'events-backend': 'file',
      }
      const flags = Object.entries(global).map(([name, value]) => `--${name}=${value}`)
      // Archives pass through a temporary file, which belongs on the disk that is measured.
      const podman = (...args: readonly string[]) => peers.command('podman', [...flags, ...args], { TMPDIR: peers.inside(temporary) })
      const verbs: Omit<Verbs, 'copy'> = {
        pull: reference => podman('pull', '--tls-verify=false', reference),
        push: reference => podman('push', '--tls-verify=false', reference),
        load: archive => podman('load', '-i', peers.inside(archive)),
        save: (image, file) => podman('save', '-o', peers.inside(file), image),
        run: (image, argv) => podman('run', '--rm', '--network', 'none', '--pull', 'never', image, ...argv),
        images: () => podman('images'),
        history: image => podman('history', image),
        inspect: image => podman('image', 'inspect', image),
        tag: (image, reference) => podman('tag', image, reference),
        rmi: image => podman('rmi', image),
        change: (container, image, argv) => podman('run', '--name', container, '--network', 'none', image, ...argv),
        commit: (container, image) => podman('commit', container, image),
        keep: (container, image) => podman('run', '--detach', '--name', container, '--network', 'none', image, 'sleep', '100000'),
        exec: (container, argv) => podman('exec', container, ...argv),
        remove: container => podman('rm', '--force', container),
      }
      return { verbs, async [Symbol.asyncDispose]() {} }
    },
  }
}
