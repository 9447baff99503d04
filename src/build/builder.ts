import type { ByteStream, CallOptions } from '../base/index.ts'
import type { RunInstruction } from '../dockerfile/index.ts'
import type { ReadableTree } from '../layer/index.ts'
import type { DiffId, Platform } from '../oci/index.ts'
import type { StageState } from './stageState.ts'

/** What a command of RUN is, with everything resolved. */
export interface RunStep {
  readonly state: StageState
  readonly instruction: RunInstruction
  /** The program and its arguments. */
  readonly command: readonly string[]
  /** `NAME=value`, the arguments of the build among them. */
  readonly environment: readonly string[]
}

/** What a build needs of the installation that it runs in. */
export interface BuildWorld {
  /** What the image is for, where FROM says nothing else. */
  readonly platform: Platform
  /** The image of a base, brought here where it is not. @param platform `os/architecture[/variant]`; undefined for the build's */
  base(reference: string, platform: string | undefined): Promise<StageState>
  /** The files of the build's context, or of a named one. */
  context(name: string | undefined): Promise<ReadableTree>
  /** What layers show together; the caller closes it. @param diffIds base first */
  tree(diffIds: readonly DiffId[]): Promise<ReadableTree>
  /** What is in an archive, a tar that may be compressed; the caller closes it. */
  unpacked(archive: ByteStream, call: CallOptions): Promise<ReadableTree>
  /** Whether a layer is here, and can be used on top of others. */
  hasLayer(below: readonly DiffId[], diffId: DiffId): boolean
  /** Takes a new layer in; held until the build has ended. */
  takeLayer(below: readonly DiffId[], tar: ByteStream, call: CallOptions): Promise<DiffId>
  /** Runs a command; gives the plain tar of what it changes. Rejects with `STRATA_BUILD_STEP_FAILED` when it ends with another code than 0. */
  run(step: RunStep, log: (chunk: Uint8Array) => void, call: CallOptions): Promise<ByteStream>
  /** The time that is now, or the one that SOURCE_DATE_EPOCH says. */
  now(): Date
}

/** What a build tells of itself while it goes on. */
export type BuildEvent =
  | { readonly kind: 'begun' | 'cached' | 'done' | 'failed'; readonly step: StepName }
  | { readonly kind: 'output'; readonly step: StepName; readonly chunk: Uint8Array }

export interface StepName {
  /** `stage 2/5`, or the stage's name. */
  readonly stage: string
  readonly position: number
  readonly count: number
  /** The instruction as it is written. */
  readonly text: string
}
