/*
 * A process that works on the containers of a test's root, to be killed: `<root> <run directory> <JSON>`.
 * Says `ready` before it begins and `done` afterwards.
 */
import type { ContainerImage, ContainerOptions } from '../../src/container/index.ts'
import { openWorkshop } from './workshop.ts'

export interface Task {
  readonly verb: 'run' | 'start' | 'stop' | 'restart'
  readonly image?: ContainerImage
  readonly options?: ContainerOptions
  readonly container?: string
  /** Attaches stdout and stays until the end. */
  readonly attached?: boolean
}

const [root = '', runDirectory = '', json = '{}'] = process.argv.slice(2)
const task = JSON.parse(json) as Task
const { containers } = await openWorkshop({ root, runDirectory })
process.stdout.write('ready\n')
try {
  if (task.verb === 'run') {
    const run = await containers.run(task.options!, task.image!, task.attached === true ? { stdout: process.stdout } : undefined)
    if (task.attached === true) await run.ended
  } else if (task.verb === 'stop') await containers.stop(task.container!, { timeoutSeconds: 0 })
  else await containers[task.verb](task.container!)
  process.stdout.write('done\n')
} catch (error) {
  process.stdout.write(`failed ${(error as { code?: string }).code} ${String(error)}\n`)
}
process.exit(0)
