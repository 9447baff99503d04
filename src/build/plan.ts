import { StrataError } from '../base/index.ts'
import {
  type ArgInstruction,
  type Dockerfile,
  expandInstruction,
  type FromInstruction,
  type Stage,
  type Statement,
} from '../dockerfile/index.ts'
import { formatPlatform, type Platform } from '../oci/index.ts'
import { type ScopeOptions, StageScope } from './scope.ts'

export interface PlanOptions {
  /** A stage by its name or number; default: the last. */
  readonly target?: string
  readonly buildArguments: ReadonlyMap<string, string>
  /** What the image is for. */
  readonly platform: Platform
  /** What the build runs on. */
  readonly buildPlatform: Platform
  /** The names of `--build-context`: each stands in the place of a stage or an image of that name. */
  readonly contexts: ReadonlySet<string>
}

/** Where files come from: an earlier stage, a named context, an image, or nothing. */
export type Origin =
  | { readonly kind: 'stage'; readonly number: number }
  | { readonly kind: 'context'; readonly name: string }
  | { readonly kind: 'image'; readonly reference: string }
  | { readonly kind: 'scratch' }

export interface PlannedStage {
  /** Among all stages of the file, from 0. */
  readonly number: number
  readonly name: string | undefined
  readonly base: Origin
  /** Of the base image, where FROM says one. */
  readonly platform: string | undefined
  readonly from: Statement
  readonly statements: readonly Statement[]
  /** The stages that it is made from, by number. */
  readonly needs: ReadonlySet<number>
}

export interface BuildPlan {
  /** Those that the target needs, each after what it needs; the target is the last. */
  readonly stages: readonly PlannedStage[]
  readonly scope: ScopeOptions
  /** Where `--from=NAME` of a stage's COPY, ADD or RUN leads. */
  readonly originOf: (stage: PlannedStage, name: string) => Origin
}

/**
 * Says what a Dockerfile's target is made of: which stages, in which order, from which bases. Pure.
 *
 * @throws StrataError `notFound` (STRATA_NO_SUCH_STAGE) for a target that is not there, `invalidArgument` for words that cannot be resolved
 */
export function planBuild(dockerfile: Dockerfile, options: PlanOptions): BuildPlan {
  const scope = globalScope(dockerfile, options)
  const expansion = { lookup: (name: string) => scope.globals.get(name), escape: scope.escape }
  const origins = new Origins(dockerfile.stages, options.contexts)
  const stages = dockerfile.stages.map(({ from, statements }, number): PlannedStage => {
    const { image, platform, alias } = expandInstruction(from.instruction as FromInstruction, expansion)
    if (image === '') throw emptyBase(from)
    const base = image === 'scratch' ? ({ kind: 'scratch' } as const) : origins.find(image, number)
    const needs = new Set([base, ...sourcesOf(statements, scope).map(name => origins.find(name, number))].flatMap(numberOf))
    return { number, name: alias, base, platform, from, statements, needs }
  })
  const target = stages[targetNumber(dockerfile.stages, options.target)]!
  return { stages: inOrder(stages, target), scope, originOf: (stage, name) => origins.find(name, stage.number) }
}

function emptyBase({ place }: Statement): StrataError {
  return new StrataError(
    'invalidArgument',
    'STRATA_DOCKERFILE_INVALID',
    `Cannot build from Dockerfile, line ${place.line}: the name of the base image is empty`,
    { hint: 'Give the argument that it is made of with --build-arg, or a default to its ARG.' },
  )
}

function numberOf(origin: Origin): readonly number[] {
  return origin.kind === 'stage' ? [origin.number] : []
}

function globalScope({ globals, directives }: Dockerfile, { buildArguments, platform, buildPlatform }: PlanOptions): ScopeOptions {
  const platforms = new Map([...platformArguments('TARGET', platform), ...platformArguments('BUILD', buildPlatform)])
  const known = new Map([...platforms].map(([name, value]) => [name, buildArguments.get(name) ?? value]))
  const options = { buildArguments, globals: known, escape: directives.escape }
  // The platforms may be named without being declared.
  const scope = new StageScope(options, known)
  for (const { instruction } of globals) scope.declare(instruction as ArgInstruction)
  return { ...options, globals: new Map([...known, ...scope.arguments]) }
}

/** Dockerfile reference, "Automatic platform ARGs in the global scope". */
function platformArguments(prefix: string, platform: Platform): readonly (readonly [string, string])[] {
  return [
    [`${prefix}PLATFORM`, formatPlatform(platform)],
    [`${prefix}OS`, platform.os],
    [`${prefix}ARCH`, platform.architecture],
    [`${prefix}VARIANT`, platform.variant ?? ''],
  ]
}

/** What the statements of a stage take files from, as they name it. The arguments that are known without the base are resolved. */
function sourcesOf(statements: readonly Statement[], options: ScopeOptions): readonly string[] {
  const scope = new StageScope(options)
  return statements.flatMap(({ instruction }): readonly string[] => {
    if (instruction.name === 'ARG') scope.declare(instruction)
    if (instruction.name === 'COPY') return instruction.from === undefined ? [] : [instruction.from]
    if (instruction.name !== 'RUN') return []
    return expandInstruction(instruction, scope.expansion).mounts.flatMap(({ from }) => (from === undefined ? [] : [from]))
  })
}

class Origins {
  readonly #stages: readonly Stage[]
  readonly #contexts: ReadonlySet<string>

  constructor(stages: readonly Stage[], contexts: ReadonlySet<string>) {
    this.#stages = stages
    this.#contexts = contexts
  }

  /** @param before only stages before this one count: none can be made from itself */
  find(name: string, before: number): Origin {
    if (this.#contexts.has(name)) return { kind: 'context', name }
    if (name === 'scratch') return { kind: 'scratch' }
    const number = stageNumber(this.#stages.slice(0, before), name)
    return number === undefined ? { kind: 'image', reference: name } : { kind: 'stage', number }
  }
}

/** The last stage of a name, or the one with a number. */
function stageNumber(stages: readonly Stage[], name: string): number | undefined {
  const named = stages.findLastIndex(({ from }) => (from.instruction as FromInstruction).alias === name.toLowerCase())
  if (named >= 0) return named
  return /^\d{1,6}$/.test(name) && Number(name) < stages.length ? Number(name) : undefined
}

function targetNumber(stages: readonly Stage[], target: string | undefined): number {
  if (target === undefined) return stages.length - 1
  const number = stageNumber(stages, target)
  if (number !== undefined) return number
  const names = stages.flatMap(({ from }) => (from.instruction as FromInstruction).alias ?? [])
  throw new StrataError('notFound', 'STRATA_NO_SUCH_STAGE', `Cannot build stage "${target}": the Dockerfile has none of that name`, {
    hint: names.length === 0 ? 'Its stages have no names.' : `It has ${names.join(', ')}.`,
  })
}

/** A stage and all that it needs, directly or not, in the order of the file: each needs earlier ones only. */
function inOrder(stages: readonly PlannedStage[], target: PlannedStage): readonly PlannedStage[] {
  const needed = new Set<number>([target.number])
  for (const number of needed) for (const below of stages[number]!.needs) needed.add(below)
  return stages.filter(({ number }) => needed.has(number))
}
