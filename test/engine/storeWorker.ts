import { randomInt } from 'node:crypto'
import { streamOf } from '../../src/base/index.ts'
import { openEngine } from '../../src/engine/index.ts'
import { tarOf } from '../support/tars.ts'

/*
 * A process that works on a root until somebody ends it. It writes a line when it begins something and one when that
 * is acknowledged:
 *
 *     has <image id> <name>     the image is here under this name
 *     drop <name>               from now on the name may be gone
 *     gone <name>               the name is gone
 *     made <container id>       there is this container
 *     unmake <container id>     from now on it may be gone
 *     next                      one more verb is done
 */

export interface StoreJob {
  readonly root: string
  readonly storageDriver: string
  /** Archives that `load` takes, with the names in them. */
  readonly archives: readonly { readonly path: string; readonly names: readonly string[] }[]
  /** What `pull` asks for. */
  readonly remotes: readonly string[]
  /** Makes names that no other worker makes. */
  readonly prefix: string
  readonly verbs: readonly Verb[]
}

export type Verb = 'load' | 'pull' | 'import' | 'commit' | 'remove' | 'prune'

const job = JSON.parse(process.argv[2]!) as StoreJob
const say = (line: string): boolean => process.stdout.write(`${line}\n`)
await using engine = await openEngine({ root: job.root, storageDriver: job.storageDriver })
const mine: string[] = []

function pick<T>(choices: readonly T[]): T {
  return choices[randomInt(choices.length)]!
}

async function has(name: string): Promise<void> {
  say(`has ${(await engine.inspectImage(name)).Id} ${name}`)
}

let count = 0
const VERBS: Readonly<Record<Verb, () => Promise<void>>> = {
  async load() {
    const { path, names } = pick(job.archives)
    await engine.load(path)
    for (const name of names) await has(name)
  },
  async pull() {
    const name = pick(job.remotes)
    await engine.pull(name)
    await has(name)
  },
  async import() {
    const name = `${job.prefix}-import:${(count += 1)}`
    const { imageId } = await engine.import(streamOf(tarOf({ big: Buffer.alloc(300_000, count), [name]: name })), { reference: name })
    say(`has ${imageId} ${name}`)
    mine.push(name)
  },
  async commit() {
    if (mine.length === 0) return
    const name = `${job.prefix}-commit:${(count += 1)}`
    const { id } = await engine.create({ image: pick(mine), command: ['x'], network: 'none' })
    say(`made ${id}`)
    await engine.copyTo(id, '/', streamOf(tarOf({ [`from-${count}`]: name, link: { link: name } })))
    const { imageId } = await engine.commit(id, { reference: name })
    say(`has ${imageId} ${name}`)
    mine.push(name)
    if (count % 3 === 0) return
    say(`unmake ${id}`)
    await engine.removeContainer(id)
  },
  async remove() {
    if (mine.length < 3) return
    const name = mine.splice(randomInt(mine.length), 1)[0]!
    say(`drop ${name}`)
    await engine.removeImage(name, { force: true })
    say(`gone ${name}`)
  },
  async prune() {
    await engine.pruneImages()
  },
}

for (;;) {
  await VERBS[pick(job.verbs)]()
  say('next')
}
