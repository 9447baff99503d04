import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { PEERS } from '../contenders/contender.ts'
import { type BenchImage, imageName } from '../images/catalogue.ts'
import { must } from '../programs.ts'
import type { Command } from '../measure/measure.ts'
import type { Row, Stage } from './row.ts'

/** What intakes are measured beside: also what waiting for the disk costs. */
const INTAKE_RIVALS = ['strata-nofsync', ...PEERS, 'floor'] as const

function pull(image: BenchImage, rounds: number, more: Pick<Row, 'targets' | 'sequel'> = {}): Row {
  return {
    name: `pull-${image}`,
    title: `pull ${image}, cold`,
    images: [image],
    source: 'registry',
    store: 'fresh',
    rounds,
    against: INTAKE_RIVALS,
    ...more,
    verbs: ['pull'],
    command: stage => stage.verbs.pull(stage.reference(image)),
  }
}

function load(image: BenchImage, rounds: number, more: Pick<Row, 'targets' | 'sequel'> = {}): Row {
  return {
    name: `load-${image}`,
    title: `load ${image}, docker-archive, cold`,
    images: [image],
    source: 'archive',
    store: 'fresh',
    rounds,
    against: INTAKE_RIVALS,
    ...more,
    verbs: ['load'],
    command: stage => stage.verbs.load(stage.archive(image)),
  }
}

const loadFirst = (image: BenchImage) => async (stage: Stage) => stage.perform(stage.verbs.load(stage.archive(image)))

/** Questions to a store of 1,000 images; the one asked about is in the middle. */
function question(verb: 'images' | 'history' | 'inspect', sequel?: Row): Row {
  const image = imageName('img0500', 'v3')
  return {
    name: verb,
    title: `${verb} with 1,000 images`,
    images: ['thousand'],
    source: 'archive',
    store: 'kept',
    rounds: 15,
    targets: [{ against: 'dockerd', ratio: 1.2 }],
    ...(sequel === undefined ? {} : { sequel }),
    verbs: ['load', verb],
    prepare: loadFirst('thousand'),
    command: stage => (verb === 'images' ? stage.verbs.images() : stage.verbs[verb](image)),
  }
}

/** Lets go of every page of every file; after a sync, since what waits for the disk stays. */
async function dropCaches(): Promise<void> {
  await must('sync', [])
  await writeFile('/proc/sys/vm/drop_caches', '3')
}

/** Every file of a container that runs, from a process in it: with nothing in memory, or when the same has been done once. */
function walk(temperature: 'cold' | 'warm', more: Pick<Row, 'sequel'> = {}): Row {
  const container = (round: number): string => `${temperature}${round}`
  const readEverything = ({ verbs }: Stage, round: number): Command =>
    verbs.exec(container(round), ['sh', '-c', 'find / -xdev -type f -print0 | xargs -0 cat > /dev/null'])
  return {
    name: `walk-${temperature}`,
    title: `walk and read of every file of node-big, ${temperature}`,
    images: ['node-big'],
    source: 'archive',
    store: 'kept',
    rounds: 3,
    against: ['strata-overlay2'],
    targets: [{ against: 'strata-overlay2', ratio: 1.1 }],
    ...more,
    verbs: ['load', 'keep', 'exec', 'remove'],
    prepare: loadFirst('node-big'),
    async before(stage, round) {
      await stage.perform(stage.verbs.keep(container(round), imageName('node-big')))
      if (temperature === 'cold') await dropCaches()
      else await stage.perform(readEverything(stage, round))
    },
    command: readEverything,
    after: async (stage, round) => stage.perform(stage.verbs.remove(container(round))),
  }
}

/** Deletes the first 10 of the files below /usr/share and appends to the next 1,000, other bytes in each round. */
const changeScript = (round: number): string =>
  `find /usr/share -type f | sort | head -n 1010 > /tmp/files && head -n 10 /tmp/files | xargs rm && tail -n 1000 /tmp/files | while read -r file; do echo "round ${round}" >> "$file"; done && rm /tmp/files`

const push: Row = {
  name: 'push',
  title: 'push node-big, pulled before, to an empty registry',
  images: ['node-big'],
  source: 'registry',
  store: 'fresh',
  rounds: 3,
  targets: [{ against: 'ctr', ratio: 1.2 }],
  verbs: ['pull', 'tag', 'push'],
  prepare: async stage => stage.perform(stage.verbs.pull(stage.reference('node-big'))),
  pushes: true,
  before: async stage => stage.perform(stage.verbs.tag(stage.reference('node-big'), `${stage.emptyRegistry}/bench/node-big:latest`)),
  command: stage => stage.verbs.push(`${stage.emptyRegistry}/bench/node-big:latest`),
}

const copy: Row = {
  name: 'copy',
  title: 'copy node-big from a registry to an empty one',
  images: ['node-big'],
  source: 'registry',
  store: 'kept',
  rounds: 5,
  against: ['skopeo'],
  targets: [{ against: 'skopeo', ratio: 1 }],
  verbs: ['copy'],
  pushes: true,
  command: stage => stage.verbs.copy(stage.reference('node-big'), `${stage.emptyRegistry}/bench/node-big:latest`),
}

const rmi: Row = {
  name: 'rmi',
  title: 'rmi node-big',
  images: ['node-big'],
  source: 'archive',
  store: 'fresh',
  rounds: 3,
  targets: [{ against: 'best peer', ratio: 0.05 }],
  verbs: ['load', 'rmi'],
  prepare: loadFirst('node-big'),
  command: stage => stage.verbs.rmi(imageName('node-big')),
}

const save: Row = {
  name: 'save',
  title: 'save node-big to a docker-archive',
  images: ['node-big'],
  source: 'archive',
  store: 'fresh',
  rounds: 3,
  // Not the best peer: ctr exports an OCI layout.
  targets: [
    { against: 'podman', ratio: 0.3 },
    { against: 'dockerd', ratio: 0.3 },
  ],
  sequel: rmi,
  verbs: ['load', 'save'],
  prepare: loadFirst('node-big'),
  command: (stage, round) => stage.verbs.save(imageName('node-big'), join(stage.output, `${round}.tar`)),
  after: async (stage, round) => rm(join(stage.output, `${round}.tar`)),
}

const inspect = question('inspect')
const history = question('history', inspect)
const warmWalk = walk('warm')

/** Measured rows, in the order of the table. */
export const ROWS: readonly Row[] = [
  pull('node-big', 3, {
    targets: [
      { against: 'best peer', ratio: 0.3 },
      { against: 'best peer', ratio: 0.2, aim: true },
      { against: 'floor', ratio: 1.5 },
    ],
    sequel: push,
  }),
  load('node-big', 3, {
    targets: [
      { against: 'best peer', ratio: 0.35 },
      { against: 'best peer', ratio: 0.25, aim: true },
    ],
    sequel: save,
  }),
  save,
  push,
  copy,
  rmi,
  {
    name: 'commit',
    title: 'commit of 1,000 changed and 10 deleted files',
    images: ['deb'],
    source: 'archive',
    store: 'kept',
    rounds: 5,
    targets: [{ against: 'best peer', ratio: 0.6 }],
    verbs: ['load', 'change', 'commit'],
    prepare: loadFirst('deb'),
    before: async (stage, round) => stage.perform(stage.verbs.change(`c${round}`, imageName('deb'), ['sh', '-c', changeScript(round)])),
    command: (stage, round) => stage.verbs.commit(`c${round}`, imageName('changed', `v${round}`)),
  },
  {
    name: 'run',
    title: 'run --rm --network none busybox true',
    images: ['busybox'],
    source: 'archive',
    store: 'kept',
    rounds: 15,
    targets: [
      { against: 'podman', ratio: 0.9 },
      { against: 'ctr', ratio: 1, aim: true },
    ],
    verbs: ['load', 'run'],
    prepare: loadFirst('busybox'),
    command: stage => stage.verbs.run(imageName('busybox'), ['true']),
  },
  question('images', history),
  history,
  inspect,
  walk('cold', { sequel: warmWalk }),
  warmWalk,
  pull('many-layers', 5, { targets: [{ against: 'best peer', ratio: 0.3 }] }),
  pull('deb', 5),
  load('deb', 5),
  pull('bigfile', 3),
]

/** The most memory that any of these rows may take of Strata, in bytes. */
export const MEMORY_TARGET = 200e6
