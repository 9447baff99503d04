import type { ProcessIdentity } from '../base/index.ts'
import type { ContainerConfigJson, ContainerStatus } from './inspect.ts'
import type { MountRecord } from './mountRecord.ts'
import type { ContainerOptions } from './options.ts'

/** The image that a container is made from, as far as the container has to know it. */
export interface ImageFacts {
  /** `sha256:…` */
  readonly id: string
  /** As it was asked for. */
  readonly name: string
  /** Names the snapshot that holds its files; absent for an image without layers. */
  readonly chainId?: string
  /** `linux/amd64`. */
  readonly platform: string
}

/** What a container is: decided when it is created, and never changed. */
export interface ContainerDefinition {
  readonly options: ContainerOptions
  readonly image: ImageFacts
  /** The image's and the options' words on the process, merged. */
  readonly config: ContainerConfigJson
  readonly mounts: readonly MountRecord[]
  /** The storage driver that has the container layer. */
  readonly driver?: string
  /** The program and text of `--init` and seccomp profiles are looked up once: what they name may change. */
  readonly initProgram?: string
  readonly seccompProfile?: string
}

/** A container's process from `start` to what is due after its end. */
export interface Run {
  /**
   * `monitored`: conmon holds its stdio and outlives us. `foreground`: a child of the process that
   * called `run`, which alone learns how it ends.
   */
  readonly kind: 'monitored' | 'foreground'
  /** Of conmon, or of the runtime's process in the foreground: both live as long as the container's. */
  readonly monitor: ProcessIdentity
  /** The container's first process, as the host sees it; a foreground run does not tell. */
  readonly pid?: number
  /** Who called a foreground run: while that process lives, the end is for it to deal with. */
  readonly keeper?: ProcessIdentity
}

/** Nobody: process ids are positive. */
export const NO_PROCESS: ProcessIdentity = { pid: 0, startedAt: '', bootId: '' }

/** How a container is. What the record says of a running one is believed only while `run.monitor` lives. */
export interface ContainerState {
  /** `creating` is not shown to anybody. */
  readonly status: ContainerStatus | 'creating'
  readonly exitCode: number
  /** How the run before the present one ended, for who waited for that. */
  readonly exitCodeBefore?: number
  readonly oomKilled: boolean
  /** Why the last start failed. */
  readonly error: string
  /** RFC 3339. */
  readonly startedAt?: string
  readonly finishedAt?: string
  readonly run?: Run
  /** Who creates it, or who will start it again: when that process has gone, nobody does. */
  readonly owner?: ProcessIdentity
  /** Who has paused it for a while only (commit). */
  readonly pausedBy?: ProcessIdentity
  /** Who ends it to start it again: until then it is not removed, though it was to remove itself. */
  readonly restartedBy?: ProcessIdentity
  /** `stop` or `kill` ended it: no policy starts it again. */
  readonly stoppedByUser: boolean
  readonly restartCount: number
  /** How long the next restart waits, and until when. */
  readonly restartDelayMs?: number
  readonly restartAt?: string
}

export interface ContainerRecord {
  /** 64 hexadecimal digits; also the key of its snapshot, the container layer. */
  readonly id: string
  readonly name: string
  readonly createdAt: Date
  readonly definition: ContainerDefinition
  readonly state: ContainerState
}

/** Whether it goes at its end, which power loss is as well: its records need not survive that. */
export function isPassing({ options }: ContainerDefinition): boolean {
  return options.autoRemove === true
}

export const INITIAL_STATE: ContainerState = {
  status: 'created',
  exitCode: 0,
  oomKilled: false,
  error: '',
  stoppedByUser: false,
  restartCount: 0,
}

/** The process is there, moving or not. */
export function hasProcess({ status }: ContainerState): boolean {
  return status === 'running' || status === 'paused'
}

/** The state of a container whose process is about to run. */
export function runningState(state: ContainerState, run: Run): ContainerState {
  const isRestart = state.status === 'restarting'
  return {
    status: 'running',
    exitCode: 0,
    oomKilled: false,
    error: '',
    startedAt: new Date().toISOString(),
    ...(state.finishedAt === undefined ? {} : { exitCodeBefore: state.exitCode }),
    ...(state.finishedAt === undefined ? {} : { finishedAt: state.finishedAt }),
    run,
    stoppedByUser: false,
    restartCount: isRestart ? state.restartCount + 1 : 0,
    ...(isRestart && state.restartDelayMs !== undefined ? { restartDelayMs: state.restartDelayMs } : {}),
  }
}

/** A state without some of what may be in it. */
export function without<State extends ContainerState, Key extends keyof State>(state: State, ...keys: readonly Key[]): Omit<State, Key> {
  const rest = { ...state }
  for (const key of keys) delete rest[key]
  return rest
}
