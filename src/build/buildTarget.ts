import type { CallOptions } from '../base/index.ts'
import { parsePlatform } from '../oci/index.ts'
import type { BuildEvent, BuildWorld } from './builder.ts'
import { buildStage } from './buildStage.ts'
import type { BuildPlan, PlannedStage } from './plan.ts'
import { emptyState, type StageState } from './stageState.ts'
import type { StepCache } from './stepCache.ts'

export interface BuildOptions extends CallOptions {
  readonly world: BuildWorld
  readonly cache: StepCache
  /** Default true. */
  readonly usesCache?: boolean
  readonly report: (event: BuildEvent) => void
}

/** Builds the target of a plan: stages that do not need each other at the same time. Rejects as the first that fails. */
export async function buildTarget(plan: BuildPlan, options: BuildOptions): Promise<StageState> {
  const failed = new AbortController()
  const signal = options.signal === undefined ? failed.signal : AbortSignal.any([options.signal, failed.signal])
  const built = new Map<number, Promise<StageState>>()
  const stage = (number: number): Promise<StageState> => built.get(number)!
  for (const planned of plan.stages) {
    const context = { plan, ...options, usesCache: options.usesCache ?? true, signal, stage }
    const building = baseOf(planned, options.world, stage).then(base => buildStage(planned, base, context))
    building.catch((error: unknown) => failed.abort(error))
    built.set(planned.number, building)
  }
  // What fails first is told, and the others have ended.
  const outcomes = await Promise.allSettled(built.values())
  if (failed.signal.aborted) throw failed.signal.reason
  return (outcomes.at(-1) as PromiseFulfilledResult<StageState>).value
}

async function baseOf(
  { base, platform }: PlannedStage,
  world: BuildWorld,
  stage: (number: number) => Promise<StageState>,
): Promise<StageState> {
  switch (base.kind) {
    case 'stage': {
      const state = await stage(base.number)
      return { ...state, hasOwnCommand: false }
    }
    case 'image':
      return world.base(base.reference, platform)
    case 'scratch':
      return emptyState(platform === undefined ? world.platform : parsePlatform(platform, world.platform))
    case 'context':
      return world.base(base.name, platform)
    default:
      return base satisfies never
  }
}
