import { once } from 'node:events'
import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { isStrataError, StrataError } from '../../base/index.ts'
import { file, layerTar } from './layerTar.ts'
import { mounted, layerInput, type SnapshotterModule, type Subject } from './subject.ts'

/** What another process does with a Snapshotter. */
export type SnapshotterJob =
  /** Makes, commits, imports and removes states without end, and says before and after each step what it does. */
  | { readonly action: 'churn'; readonly prefix: string }
  /** Imports the layers of `stackTars` under the names `<prefix>0`, … */
  | { readonly action: 'import'; readonly prefix: string }
  /** Prepares a key, and says `made` or `taken`. */
  | { readonly action: 'prepare'; readonly key: string; readonly parent: string }

/** Disposing of it kills the process and waits for its end. */
export interface SnapshotterProcess extends AsyncDisposable {
  readonly process: ChildProcessByStdio<null, Readable, null>
  /** The lines that it has written so far; all of them after `ended`. */
  lines(): readonly string[]
  /** Resolves when it has ended, with its lines. Rejects when it failed, but not when it was killed. */
  ended(): Promise<readonly string[]>
}

/** Starts a process with a mount namespace of its own, so that its mounts end with it. */
export function startProcess(
  { module, root, scratch }: Pick<Subject, 'module' | 'root' | 'scratch'>,
  job: SnapshotterJob,
): SnapshotterProcess {
  const program = [process.execPath, fileURLToPath(import.meta.url), module.href, root, scratch, JSON.stringify(job)]
  const child = spawn('unshare', ['--mount', '--propagation', 'private', ...program], { stdio: ['ignore', 'pipe', 'inherit'] })
  let text = ''
  child.stdout.on('data', (chunk: Buffer) => {
    text += chunk.toString()
  })
  const closed = once(child, 'close')
  // A line that was cut off was not said.
  const lines = (): readonly string[] => text.split('\n').slice(0, -1)
  return {
    process: child,
    lines,
    async ended() {
      const [code, signal] = (await closed) as [number | null, string | null]
      if (code !== 0 && signal !== 'SIGKILL') {
        throw new StrataError('internal', 'STRATA_TEST_PROCESS', `Cannot use the store in another process: it ended with ${code ?? signal}`)
      }
      return lines()
    },
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL')
      await closed
    },
  }
}

/** How many layers an imported stack has. */
export const STACK_LAYERS = 4

/** The names of a stack's states, base first. */
export function stackNames(prefix: string): readonly string[] {
  return Array.from({ length: STACK_LAYERS }, (_, n) => `${prefix}${n}`)
}

/** The tars of a stack: each adds files that tell the layer, and replaces one. */
export function stackTars(prefix: string): readonly Buffer[] {
  return stackNames(prefix).map(name =>
    layerTar(file('top', name), ...Array.from({ length: 15 }, (_, n) => file(`${name}/${n}`, contentOf(name, n)))),
  )
}

/** Files of a changed state, each with content that tells whose it is. */
export const CHANGED_FILES = 10

export function contentOf(name: string, n: number): string {
  return `${name} ${n} `.repeat(40)
}

function say(line: string): void {
  // To a pipe this is synchronous: a line that was said was true before.
  process.stdout.write(`${line}\n`)
}

async function churn({ snapshots, scratch }: Pick<Subject, 'snapshots' | 'scratch'>, prefix: string): Promise<void> {
  const remove = async (name: string): Promise<void> => {
    say(`removing ${name}`)
    await snapshots.remove(name)
    say(`removed ${name}`)
  }
  for (let round = 0; ; round += 1) {
    const [key, name, stack] = [`${prefix} key ${round}`, `${prefix} state ${round}`, `${prefix} stack ${round} `]
    const mounts = await snapshots.prepare(key, round === 0 ? undefined : `${prefix} state ${round - 1}`)
    say(`prepared ${key}`)
    await mounted(scratch, mounts, directory => {
      for (let n = 0; n < CHANGED_FILES; n += 1) writeFileSync(join(directory, `${round} ${n}`), contentOf(name, n))
    })
    say(`committing ${key}`)
    await snapshots.commit(name, key)
    say(`committed ${name}`)
    {
      await using layers = snapshots.importStack()
      const names = stackNames(stack)
      const tars = stackTars(stack)
      const adding = names.map(async (each, n) => layers.add(each, names[n - 1], await layerInput(scratch, tars[n]!)))
      await Promise.all(adding)
      await layers.commit()
      say(`imported ${stack}`)
    }
    await snapshots.view(`${prefix} view`, name)
    await snapshots.remove(`${prefix} view`)
    if (round % 3 === 2) for (const each of stackNames(`${prefix} stack ${round - 1} `).toReversed()) await remove(each)
    const idle = `${prefix} idle ${round}`
    await snapshots.prepare(idle, name)
    say(`prepared ${idle}`)
    if (round % 2 === 1) await remove(idle)
  }
}

async function main([moduleUrl = '', root = '', scratch = '', text = '']: readonly string[]): Promise<void> {
  const { openSnapshotter } = (await import(moduleUrl)) as SnapshotterModule
  await using snapshots = await openSnapshotter(root)
  const job = JSON.parse(text) as SnapshotterJob
  switch (job.action) {
    case 'churn':
      await churn({ snapshots, scratch }, job.prefix)
      break
    case 'import': {
      await using stack = snapshots.importStack()
      const names = stackNames(job.prefix)
      const tars = stackTars(job.prefix)
      await Promise.all(names.map(async (name, n) => stack.add(name, names[n - 1], await layerInput(scratch, tars[n]!))))
      await stack.commit()
      break
    }
    case 'prepare':
      try {
        await snapshots.prepare(job.key, job.parent)
        say('made')
      } catch (error) {
        if (!isStrataError(error, 'alreadyExists')) throw error
        say('taken')
      }
      break
    default:
      job satisfies never
  }
}

if (import.meta.main) await main(process.argv.slice(2))
