import assert from 'node:assert/strict'
import { PassThrough } from 'node:stream'
import { StrataError } from '../../src/base/index.ts'
import { main } from '../../src/cli/main.ts'
import type { Surroundings } from '../../src/cli/surroundings.ts'
import type { Engine, EngineOptions } from '../../src/engine/index.ts'

export interface Ran {
  readonly status: number
  readonly stdout: string
  readonly stderr: string
  readonly opened: EngineOptions | undefined
  readonly closed: boolean
}

export interface Situation {
  readonly stdin?: string
  readonly env?: Readonly<Record<string, string>>
  /** Signals that arrive once the engine is asked to run something. */
  readonly signals?: readonly NodeJS.Signals[]
  /** Whether stdout is a terminal. */
  readonly isTerminal?: boolean
  readonly atOpen?: (options: EngineOptions | undefined) => void
}

/** Runs the command line against an engine of a few methods, with streams and signals of its own. */
export async function strata(line: string | readonly string[], methods: Partial<Engine> = {}, situation: Situation = {}): Promise<Ran> {
  const stdin = new PassThrough()
  stdin.end(situation.stdin ?? '')
  const collected = { stdout: [] as Buffer[], stderr: [] as Buffer[] }
  const output = (name: 'stdout' | 'stderr'): PassThrough => new PassThrough().on('data', (chunk: Buffer) => collected[name].push(chunk))
  const [stdout, stderr] = [output('stdout'), output('stderr')]
  if (situation.isTerminal === true) Object.assign(stdout, { isTTY: true })
  const listeners = new Map<string, () => void>()
  let opened: EngineOptions | undefined
  let closed = false
  const surroundings: Surroundings = {
    stdin,
    stdout,
    stderr,
    print: text => stdout.write(text),
    complain: text => stderr.write(text),
    written: async () => undefined,
    env: situation.env ?? {},
    now: () => new Date('2026-03-01T12:00:00Z'),
    setRawTerminal: () => assert.fail('there is no terminal'),
    onSignal(signal, listener) {
      listeners.set(signal, listener)
      return () => listeners.delete(signal)
    },
    async openEngine(options) {
      opened = options
      situation.atOpen?.(options)
      for (const signal of situation.signals ?? []) setTimeout(() => listeners.get(signal)?.(), 20)
      return { ...methods, close: async () => void (closed = true) } as Engine
    },
  }
  const status = await main(typeof line === 'string' ? line.split(' ') : line, surroundings)
  await new Promise(resolve => setImmediate(resolve))
  return { status, stdout: Buffer.concat(collected.stdout).toString(), stderr: Buffer.concat(collected.stderr).toString(), opened, closed }
}

/** A method that finds nothing. */
export const noSuch =
  (kind: string, code: 'IMAGE' | 'CONTAINER' | 'VOLUME' | 'NETWORK') =>
  async (name: string): Promise<never> => {
    throw new StrataError('notFound', `STRATA_NO_SUCH_${code}`, `Cannot find ${kind} "${name}": it does not exist`)
  }

/** An engine that has nothing. */
export const NOWHERE: Partial<Engine> = {
  inspectContainer: noSuch('container', 'CONTAINER'),
  inspectImage: noSuch('image', 'IMAGE'),
  inspectVolume: noSuch('volume', 'VOLUME'),
  inspectNetwork: noSuch('network', 'NETWORK'),
}
