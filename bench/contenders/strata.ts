import { join } from 'node:path'
import { PROJECT } from '../places.ts'
import { must } from '../programs.ts'
import type { Contender, Verbs } from './contender.ts'

/** Ourselves, from the checkout, with the storage driver that is given and fsync on. */
export function strata(driver: string): Contender {
  const file = join(PROJECT, 'bin/strata')
  return {
    name: 'strata',
    async versions() {
      const commit = (await must('git', ['-C', PROJECT, 'rev-parse', '--short', 'HEAD'])).trim()
      return `strata ${commit} (${driver}), Node ${process.version}`
    },
    async open({ directory }) {
      const strata = (...args: readonly string[]) => ({ file, args: ['--root', directory, '--storage-driver', driver, ...args] })
      const verbs: Verbs = {
        pull: reference => strata('pull', reference),
        push: reference => strata('push', reference),
        load: archive => strata('load', '-i', archive),
        save: (image, path) => strata('save', '-o', path, image),
        run: (image, argv) => strata('run', '--rm', '--network', 'none', image, ...argv),
        images: () => strata('images'),
        history: image => strata('history', image),
        inspect: image => strata('image', 'inspect', image),
        tag: (image, reference) => strata('tag', image, reference),
        rmi: image => strata('rmi', image),
        change: (container, image, argv) => strata('run', '--name', container, '--network', 'none', image, ...argv),
        commit: (container, image) => strata('commit', container, image),
      }
      return { verbs, async [Symbol.asyncDispose]() {} }
    },
  }
}
