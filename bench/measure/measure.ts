import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { once } from 'node:events'
import type { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ControlGroup } from './controlGroup.ts'

/** A program to be run, as data. */
export interface Command {
  readonly file: string
  readonly args: readonly string[]
  readonly env?: Readonly<Record<string, string>>
}

export interface Measurement {
  /** From before the fork until the command has been waited for. */
  readonly wallSeconds: number
  /** User and system time of everything in the contender's group, daemons included, until then. */
  readonly cpuSeconds: number
  /** Resident memory of the same at its highest, in bytes: the largest sum seen, and no less than any one process's high-water mark. */
  readonly peakBytes: number
}

/** No command of a benchmark takes longer, in milliseconds. */
const PATIENCE_MS = 600_000

/** What contenders see of the environment: the same for all of them. */
const ENVIRONMENT = {
  PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  HOME: process.env['HOME'] ?? '/root',
  LANG: 'C.UTF-8',
}

/**
 * Runs a command inside `group` and says what it cost.
 *
 * Rejects when it ends with anything but 0, with the end of what it printed.
 */
export async function measure(group: ControlGroup, command: Command, signal?: AbortSignal): Promise<Measurement> {
  group.forgetPeaks()
  const cpuBefore = group.cpuSeconds()
  const start = performance.now()
  const child = spawnInside(group, command, signal)
  const printed: Buffer[] = []
  child.stdout.resume()
  child.stderr.on('data', (chunk: Buffer) => printed.push(chunk))
  const ended = once(child, 'exit').then(([code, killedBy]) => ({
    wallSeconds: (performance.now() - start) / 1000,
    code: code as number | null,
    killedBy: killedBy as string | null,
  }))
  let end: Awaited<typeof ended> | undefined
  let peakBytes = 0
  // A short command is looked at every few milliseconds, a long one rarely enough to cost it nothing.
  for (let pause = 3; end === undefined; pause = Math.min(pause * 1.1, 40)) {
    const { now, largest } = group.resident()
    peakBytes = Math.max(peakBytes, now, largest)
    end = await Promise.race([ended, sleep(pause, undefined)])
  }
  const cpuSeconds = group.cpuSeconds() - cpuBefore
  if (end.code !== 0) throw failure(command, end.killedBy ?? end.code, printed)
  return { wallSeconds: end.wallSeconds, cpuSeconds, peakBytes }
}

/** Runs a command that is not measured, in the same group; resolves with what it printed on stdout. */
export async function perform(group: ControlGroup, command: Command, signal?: AbortSignal): Promise<string> {
  const child = spawnInside(group, command, signal)
  const [stdout, stderr]: [Buffer[], Buffer[]] = [[], []]
  child.stdout.on('data', (chunk: Buffer) => stdout.push(chunk))
  child.stderr.on('data', (chunk: Buffer) => stderr.push(chunk))
  const [code, killedBy] = (await once(child, 'close')) as [number | null, string | null]
  if (code !== 0) throw failure(command, killedBy ?? code, [...stdout, ...stderr])
  return Buffer.concat(stdout).toString()
}

/** A command that enters the group before it is what it is; the shell in between costs each contender the same millisecond. */
export function inside(group: ControlGroup, command: Command): Command {
  const enter = 'echo 0 > "$0" && exec "$@"'
  return { file: '/bin/sh', args: ['-c', enter, group.door, command.file, ...command.args], env: { ...ENVIRONMENT, ...command.env } }
}

function spawnInside(group: ControlGroup, command: Command, signal?: AbortSignal): ChildProcessByStdio<null, Readable, Readable> {
  const { file, args, env } = inside(group, command)
  const timeout = AbortSignal.timeout(PATIENCE_MS)
  return spawn(file, args, {
    env: { ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    signal: signal === undefined ? timeout : AbortSignal.any([signal, timeout]),
  })
}

function failure(command: Command, ending: string | number | null, printed: readonly Buffer[]): Error {
  const text = Buffer.concat(printed).toString().trim().slice(-1500)
  return new Error(`Cannot measure "${command.file} ${command.args.join(' ')}": it ended with ${ending}: ${text}`)
}
