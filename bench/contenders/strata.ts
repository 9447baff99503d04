import { join } from 'node:path'
import { PROJECT } from '../places.ts'
import { must } from '../programs.ts'
import type { Contender, ContenderName, Verbs } from './contender.ts'

interface Form {
  readonly name: Extract<ContenderName, `strata${string}`>
  readonly driver: string
  /** Global flags beside the driver's. */
  readonly flags: readonly string[]
}

/**
 * Ourselves, from the checkout: as we are by default, with fsync on; without it; and with overlay2.
 *
 * @param driver the storage driver of the first two
 */
export function stratas(driver: string): readonly Contender[] {
  return [
    strata({ name: 'strata', driver, flags: [] }),
    strata({ name: 'strata-nofsync', driver, flags: ['--no-fsync'] }),
    strata({ name: 'strata-overlay2', driver: 'overlay2', flags: [] }),
  ]
}

function strata({ name, driver, flags }: Form): Contender {
  const file = join(PROJECT, 'bin/strata')
  return {
    name,
    async versions() {
      const commit = (await must('git', ['-C', PROJECT, 'rev-parse', '--short', 'HEAD'])).trim()
      return `${name}: ${[commit, driver, ...flags].join(' ')}, Node ${process.version}`
    },
    async open({ directory }) {
      const strata = (...args: readonly string[]) => ({ file, args: ['--root', directory, '--storage-driver', driver, ...flags, ...args] })
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
        copy: (reference, to) => strata('copy', `docker://${reference}`, `docker://${to}`),
        rmi: image => strata('rmi', image),
        change: (container, image, argv) => strata('run', '--name', container, '--network', 'none', image, ...argv),
        commit: (container, image) => strata('commit', container, image),
        keep: (container, image) => strata('run', '--detach', '--name', container, '--network', 'none', image, 'sleep', '100000'),
        exec: (container, argv) => strata('exec', container, ...argv),
        remove: container => strata('rm', '--force', container),
      }
      return { verbs, async [Symbol.asyncDispose]() {} }
    },
  }
}
