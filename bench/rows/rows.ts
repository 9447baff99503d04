import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { type BenchImage, imageName } from '../images/catalogue.ts'
import type { Row } from './row.ts'

function pull(image: BenchImage, rounds: number): Row {
  return {
    name: `pull-${image}`,
    title: `pull ${image}, cold`,
    images: [image],
    source: 'registry',
    store: 'fresh',
    rounds,
    verbs: ['pull'],
    command: stage => stage.verbs.pull(stage.reference(image)),
  }
}

function load(image: BenchImage, rounds: number): Row {
  return {
    name: `load-${image}`,
    title: `load ${image}, docker-archive, cold`,
    images: [image],
    source: 'archive',
    store: 'fresh',
    rounds,
    verbs: ['load'],
    command: stage => stage.verbs.load(stage.archive(image)),
  }
}

/** Questions to a store of 1,000 images; the one asked about is in the middle. */
function question(verb: 'images' | 'history' | 'inspect'): Row {
  const image = imageName('img0500', 'v3')
  return {
    name: verb,
    title: `${verb} with 1,000 images`,
    images: ['thousand'],
    source: 'archive',
    store: 'kept',
    rounds: 15,
    verbs: ['load', verb],
    prepare: async stage => stage.perform(stage.verbs.load(stage.archive('thousand'))),
    command: stage => (verb === 'images' ? stage.verbs.images() : stage.verbs[verb](image)),
  }
}

/** Deletes the first 10 of the files below /usr/share and appends to the next 1,000, other bytes in each round. */
const changeScript = (round: number): string =>
  `find /usr/share -type f | sort | head -n 1010 > /tmp/files && head -n 10 /tmp/files | xargs rm && tail -n 1000 /tmp/files | while read -r file; do echo "round ${round}" >> "$file"; done && rm /tmp/files`

/** Measured rows, in the order of the table. */
export const ROWS: readonly Row[] = [
  pull('deb', 5),
  pull('node-big', 3),
  load('deb', 5),
  load('node-big', 3),
  {
    name: 'run',
    title: 'run --rm --network none busybox true',
    images: ['busybox'],
    source: 'archive',
    store: 'kept',
    rounds: 15,
    verbs: ['load', 'run'],
    prepare: async stage => stage.perform(stage.verbs.load(stage.archive('busybox'))),
    command: stage => stage.verbs.run(imageName('busybox'), ['true']),
  },
  question('images'),
  question('history'),
  question('inspect'),
  {
    name: 'save',
    title: 'save node-big to a docker-archive',
    images: ['node-big'],
    source: 'archive',
    store: 'kept',
    rounds: 3,
    verbs: ['load', 'save'],
    prepare: async stage => stage.perform(stage.verbs.load(stage.archive('node-big'))),
    command: (stage, round) => stage.verbs.save(imageName('node-big'), join(stage.output, `${round}.tar`)),
    after: async (stage, round) => rm(join(stage.output, `${round}.tar`)),
  },
  {
    name: 'push',
    title: 'push node-big, pulled before, to an empty registry',
    images: ['node-big'],
    source: 'registry',
    store: 'kept',
    rounds: 2,
    verbs: ['pull', 'tag', 'push'],
    prepare: async stage => stage.perform(stage.verbs.pull(stage.reference('node-big'))),
    pushes: true,
    before: async stage => stage.perform(stage.verbs.tag(stage.reference('node-big'), `${stage.emptyRegistry}/bench/node-big:latest`)),
    command: stage => stage.verbs.push(`${stage.emptyRegistry}/bench/node-big:latest`),
  },
  {
    name: 'rmi',
    title: 'rmi node-big',
    images: ['node-big'],
    source: 'archive',
    store: 'fresh',
    rounds: 3,
    verbs: ['load', 'rmi'],
    prepare: async stage => stage.perform(stage.verbs.load(stage.archive('node-big'))),
    command: stage => stage.verbs.rmi(imageName('node-big')),
  },
  {
    name: 'commit',
    title: 'commit of 1,000 changed and 10 deleted files',
    images: ['deb'],
    source: 'archive',
    store: 'kept',
    rounds: 5,
    verbs: ['load', 'change', 'commit'],
    prepare: async stage => stage.perform(stage.verbs.load(stage.archive('deb'))),
    before: async (stage, round) => stage.perform(stage.verbs.change(`c${round}`, imageName('deb'), ['sh', '-c', changeScript(round)])),
    command: (stage, round) => stage.verbs.commit(`c${round}`, imageName('changed', `v${round}`)),
  },
  pull('many-layers', 5),
  pull('bigfile', 3),
]
