import { Socket } from 'node:net'
import type { Readable, Writable } from 'node:stream'
import { close, makePipe } from '../host/index.ts'

/**
 * Pipes for the stdio of a child process. Node's own `pipe` is a socket, and a process that opens
 * `/dev/stdout` by name, as many images do for their logs, cannot open a socket.
 */
export class ProcessPipes {
  readonly stdout: Readable
  readonly stderr: Readable
  /** Absent when none was asked for. */
  readonly stdin: Writable | undefined
  /** The far ends, for `spawn`; stdin is empty when none was asked for. */
  readonly stdio: readonly [number | 'ignore', number, number]

  constructor(withInput: boolean) {
    const output = makePipe()
    const errors = makePipe()
    const input = withInput ? makePipe() : undefined
    this.stdout = new Socket({ fd: output.read, readable: true, writable: false })
    this.stderr = new Socket({ fd: errors.read, readable: true, writable: false })
    this.stdin = input === undefined ? undefined : new Socket({ fd: input.write, readable: false, writable: true })
    this.stdio = [input?.read ?? 'ignore', output.write, errors.write]
  }

  /** Once the child has the far ends: its are then the last copies, whose closing is the end of the streams. */
  release(): void {
    for (const fd of this.stdio) if (typeof fd === 'number') close(fd)
  }

  /** When there is no child after all. */
  destroy(): void {
    for (const stream of [this.stdin, this.stdout, this.stderr]) stream?.destroy()
  }
}

/** Starts a child that gets the far ends. */
export async function spawnWith<Child>(pipes: ProcessPipes, spawn: () => Promise<Child>): Promise<Child> {
  try {
    return await spawn()
  } catch (error) {
    pipes.destroy()
    throw error
  } finally {
    pipes.release()
  }
}
