import { applyInstruction } from '../image/index.ts'
import type { ConfigInstruction } from '../dockerfile/index.ts'
import type { DiffId, History, ImageConfig, Platform, ProcessConfig } from '../oci/index.ts'
import { keyAbove } from './stepCache.ts'

/** What a stage is so far: an image in the making. A step makes another one of it. */
export interface StageState {
  /** The cache key of all that led here. */
  readonly key: string
  /** Base first. */
  readonly diffIds: readonly DiffId[]
  readonly config: ProcessConfig
  readonly history: readonly History[]
  readonly platform: Platform
  readonly author?: string
  /** Whether CMD was given in this stage: an ENTRYPOINT makes nothing of one from the base. */
  readonly hasOwnCommand: boolean
}

/** A stage that begins with nothing. */
export function emptyState(platform: Platform): StageState {
  const config = { Env: ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'], WorkingDir: '/' }
  return { key: keyAbove('', 'scratch', platform), diffIds: [], config, history: [], platform, hasOwnCommand: false }
}

/** A stage that begins with an image. @param imageId what makes the difference between bases */
export function stateOfImage(imageId: string, image: ImageConfig): StageState {
  const { config = {}, rootfs, history, os, architecture, variant, author } = image
  return {
    key: keyAbove('', 'image', imageId),
    diffIds: rootfs.diff_ids,
    config,
    history: history ?? rootfs.diff_ids.map(() => ({})),
    platform: { os, architecture, ...(variant === undefined ? {} : { variant }) },
    ...(author === undefined ? {} : { author }),
    hasOwnCommand: false,
  }
}

/** What a step that has been done adds. */
export interface DoneStep {
  readonly key: string
  readonly created: string
  /** For the history: the instruction as it was done. */
  readonly createdBy: string
  readonly diffId?: DiffId | undefined
}

/** The state with a step more in its history, and with the layer that it made. */
export function withStep(state: StageState, { key, created, createdBy, diffId }: DoneStep): StageState {
  const entry: History = { created, created_by: createdBy, comment: COMMENT, ...(diffId === undefined ? { empty_layer: true } : {}) }
  return {
    ...state,
    key,
    history: [...state.history, entry],
    diffIds: diffId === undefined ? state.diffIds : [...state.diffIds, diffId],
  }
}

const COMMENT = 'strata.dockerfile.v0'

/** The state with the config that an instruction makes. */
export function withInstruction(state: StageState, instruction: ConfigInstruction): StageState {
  const changed = applyInstruction(state.config, instruction)
  if (instruction.name === 'MAINTAINER') return { ...state, author: instruction.maintainer }
  if (instruction.name === 'CMD') return { ...state, config: changed, hasOwnCommand: true }
  if (instruction.name !== 'ENTRYPOINT' || state.hasOwnCommand) return { ...state, config: changed }
  const { Cmd: _, ...config } = changed
  return { ...state, config }
}

/** A state's environment. */
export function environmentOf({ config }: StageState): ReadonlyMap<string, string> {
  return new Map(
    (config.Env ?? []).map(pair => {
      const equals = pair.indexOf('=')
      return equals < 0 ? [pair, ''] : [pair.slice(0, equals), pair.slice(equals + 1)]
    }),
  )
}
