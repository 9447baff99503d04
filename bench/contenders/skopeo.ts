import type { Peers } from '../peers/peers.ts'
import { must } from '../programs.ts'
import type { Contender } from './contender.ts'

/** Skopeo, which copies between registries. */
export function skopeo(peers: Peers): Contender {
  return {
    name: 'skopeo',
    async versions() {
      const { file, args } = peers.command('skopeo', ['--version'])
      return (await must(file, args)).trim()
    },
    async open() {
      const plain = ['--src-tls-verify=false', '--dest-tls-verify=false']
      return {
        verbs: {
          copy: (reference, to) =>
            peers.command('skopeo', ['--insecure-policy', 'copy', ...plain, `docker://${reference}`, `docker://${to}`]),
        },
        async [Symbol.asyncDispose]() {},
      }
    },
  }
}
