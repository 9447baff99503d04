import { streamOf } from '../../src/base/index.ts'
import type { Engine } from '../../src/engine/index.ts'
import { tarOf } from '../support/tars.ts'

/** What the verbs take. */
export interface VerbInput {
  readonly archive: string
  readonly remote: string
}

export type VerbName =
  | 'pull'
  | 'load'
  | 'import'
  | 'create'
  | 'commit'
  | 'rmi of a name'
  | 'rmi of an image'
  | 'image prune'
  | 'system prune'

/** Verbs that change images or what keeps them, each as a command does it. */
export const VERBS: Readonly<Record<VerbName, (engine: Engine, input: VerbInput) => Promise<unknown>>> = {
  pull: (engine, { remote }) => engine.pull(remote),
  load: (engine, { archive }) => engine.load(archive),
  import: engine => engine.import(streamOf(tarOf({ new: 'new' })), { reference: 'new:1' }),
  create: engine => engine.create({ image: 'loose:1', command: ['x'], network: 'none' }),
  commit: engine => engine.commit('changed', { reference: 'new:1' }),
  'rmi of a name': engine => engine.removeImage('base:1'),
  'rmi of an image': engine => engine.removeImage('loose:1'),
  'image prune': engine => engine.pruneImages({ all: true }),
  'system prune': async engine => {
    await engine.pruneContainers()
    await engine.pruneImages({ all: true })
  },
}
