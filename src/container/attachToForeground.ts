import { constants, statSync } from 'node:fs'
import { Socket } from 'node:net'
import type { Writable } from 'node:stream'
import { systemError } from '../base/index.ts'
import { CURRENT_DIRECTORY, openAt } from '../host/index.ts'
import { readLog } from '../runtime/index.ts'
import { conclude } from './ending.ts'
import type { Installation } from './installation.ts'
import { isOver } from './logs.ts'
import type { ContainerRecord } from './record.ts'
import { feed, writeTo } from './relay.ts'
import type { AttachedStreams, AttachmentEnd } from './streams.ts'

/** Connects to a container that runs in the foreground of another process: follows its log, and shares its input. */
export async function attachToForeground(
  installation: Installation,
  record: ContainerRecord,
  { streams, signal }: { readonly streams: AttachedStreams; readonly signal: AbortSignal | undefined },
): Promise<AttachmentEnd> {
  const path = installation.paths.log(record.id)
  // From now on, also what the process answers to the first word of ours.
  const from = statSync(path, { throwIfNoEntry: false })?.size ?? 0
  using input = streams.stdin === undefined ? undefined : openInput(record)
  if (input !== undefined && streams.stdin !== undefined) void feed(streams.stdin, input.writable).catch(() => undefined)
  const isEnded = async (): Promise<boolean> => isOver(installation, record.id)
  for await (const { stream, bytes } of readLog(path, { follow: true, from, isEnded, ...(signal === undefined ? {} : { signal }) })) {
    await writeTo(streams[stream], bytes)
  }
  return { kind: 'exited', exitCode: await conclude(installation, record, signal) }
}

/** The pipe that the runtime has for its stdin, which is the process's: it takes what several write. */
function openInput({ name, state }: ContainerRecord): Disposable & { readonly writable: Writable } {
  const path = `/proc/${state.run?.monitor.pid ?? 0}/fd/0`
  try {
    const writable = new Socket({
      fd: openAt(CURRENT_DIRECTORY, path, constants.O_WRONLY | constants.O_NONBLOCK),
      readable: false,
      writable: true,
    })
    return { writable, [Symbol.dispose]: () => void writable.destroy() }
  } catch (error) {
    throw systemError(`attach to the input of container "${name}"`, error)
  }
}
