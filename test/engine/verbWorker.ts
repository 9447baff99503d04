import { once } from 'node:events'
import { streamOf } from '../../src/base/index.ts'
import { openEngine } from '../../src/engine/index.ts'
import { tarOf } from '../support/tars.ts'
import { VERBS, type VerbInput, type VerbName } from './oneVerb.ts'

/*
 * A process that does one verb when it is told to, and may be killed meanwhile. It is sent a job, says `ready` when all its
 * threads are there, is sent anything, and says `done` when the verb is acknowledged.
 */

export interface VerbJob {
  readonly root: string
  readonly storageDriver: string
  /** Another root, which starts the threads. */
  readonly warmRoot: string
  readonly verb: VerbName
  readonly input: VerbInput
}

const job = JSON.parse(String((await once(process.stdin, 'data'))[0])) as VerbJob
{
  await using engine = await openEngine({ root: job.warmRoot, storageDriver: 'vfs', fsync: false })
  await engine.import(streamOf(tarOf({ warm: 'warm' })), { reference: 'warm:1' })
}
process.stdout.write('ready\n')
await once(process.stdin, 'data')
await using engine = await openEngine({ root: job.root, storageDriver: job.storageDriver })
await VERBS[job.verb](engine, job.input)
process.stdout.write('done\n')
process.stdin.destroy()
