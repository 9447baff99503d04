import { posix } from 'node:path'
import type { ByteStream, CallOptions } from '../base/index.ts'
import {
  type AddInstruction,
  type ConfigInstruction,
  type CopyInstruction,
  expandInstruction,
  IgnorePatterns,
  parseDockerfile,
  type RunInstruction,
  type Statement,
} from '../dockerfile/index.ts'
import { packLayer, type ReadableTree } from '../layer/index.ts'
import { MemoryTree, Union } from '../union/index.ts'
import { isArchive } from './archives.ts'
import type { BuildEvent, BuildWorld, StepName } from './builder.ts'
import { digestSources } from './contentDigest.ts'
import { copyFiles, type CopyRequest, type Owner } from './copyFiles.ts'
import { parseMode } from './fileMode.ts'
import { findOwner } from './owner.ts'
import type { BuildPlan, Origin, PlannedStage } from './plan.ts'
import { PROXY_ARGUMENTS, StageScope } from './scope.ts'
import { type FoundSource, findSources } from './sourcePaths.ts'
import { environmentOf, type StageState, withInstruction, withStep } from './stageState.ts'
import { keyAbove, type StepCache } from './stepCache.ts'
import { resolvePath } from './treePaths.ts'
import { refuseUnsupported } from './unsupported.ts'

export interface StageContext extends CallOptions {
  readonly plan: BuildPlan
  readonly world: BuildWorld
  readonly cache: StepCache
  /** Whether what was built before counts. */
  readonly usesCache: boolean
  readonly report: (event: BuildEvent) => void
  /** Another stage, once it is built. */
  readonly stage: (number: number) => Promise<StageState>
}

/** Builds a stage, one statement after the other. Rejects as the world and the instructions do. */
export async function buildStage(stage: PlannedStage, base: StageState, context: StageContext): Promise<StageState> {
  return await new StageBuild(stage, base, context).run()
}

class StageBuild {
  readonly #stage: PlannedStage
  readonly #context: StageContext
  readonly #scope: StageScope
  #state: StageState

  constructor(stage: PlannedStage, base: StageState, context: StageContext) {
    this.#stage = stage
    this.#context = context
    this.#state = base
    this.#scope = new StageScope(context.plan.scope, environmentOf(base))
  }

  async run(): Promise<StageState> {
    const statements = [...this.#triggers(), ...this.#stage.statements]
    for (const [index, statement] of statements.entries()) {
      this.#context.signal?.throwIfAborted()
      const step: StepName = {
        stage: this.#stage.name ?? `stage ${this.#stage.number}`,
        position: index + 1,
        count: statements.length,
        text: statement.text,
      }
      this.#context.report({ kind: 'begun', step })
      try {
        this.#context.report({ kind: await this.#do(statement, step), step })
      } catch (error) {
        this.#context.report({ kind: 'failed', step })
        throw error
      }
    }
    return this.#state
  }

  /** What the base image wants to be done first. Dockerfile reference, ONBUILD. */
  #triggers(): readonly Statement[] {
    const { OnBuild: triggers = [], ...config } = this.#state.config
    if (triggers.length === 0) return []
    this.#state = { ...this.#state, config }
    return parseDockerfile(`FROM scratch\n${triggers.join('\n')}\n`).stages[0]!.statements
  }

  async #do({ instruction, text }: Statement, step: StepName): Promise<'cached' | 'done'> {
    const expanded = expandInstruction(instruction, this.#scope.expansion)
    switch (expanded.name) {
      case 'FROM':
        throw new TypeError('FROM begins a stage')
      case 'ARG':
        this.#scope.declare(expanded)
        this.#note(text, this.#state.key)
        return 'done'
      case 'RUN':
        return this.#run(expanded, step)
      case 'COPY':
      case 'ADD':
        return this.#copy(expanded, text)
      case 'WORKDIR':
        return this.#workdir(expanded, text)
      default:
        this.#change(expanded)
        this.#note(text, keyAbove(this.#state.key, expanded))
        return 'done'
    }
  }

  #change(instruction: ConfigInstruction): void {
    this.#state = withInstruction(this.#state, instruction)
    this.#scope.environment = environmentOf(this.#state)
  }

  /** A step that changes no file. Its time is that of its first build. */
  #note(createdBy: string, key: string): void {
    const { created } = this.#cached(keyAbove(key, 'note', createdBy)) ?? this.#remember(keyAbove(key, 'note', createdBy), undefined)
    this.#state = withStep(this.#state, { key, created, createdBy })
  }

  #cached(key: string): ReturnType<StepCache['find']> {
    if (!this.#context.usesCache) return undefined
    const found = this.#context.cache.find(key)
    const isHere = found?.diffId === undefined || this.#context.world.hasLayer(this.#state.diffIds, found.diffId)
    return isHere ? found : undefined
  }

  #remember(key: string, diffId: StageState['diffIds'][number] | undefined): { readonly created: string } {
    const created = this.#context.world.now().toISOString()
    this.#context.cache.set(key, { diffId, created }, this.#state.diffIds)
    return { created }
  }

  /** A step that makes a layer, or the layer that it made before. @param make undefined where nothing changes */
  async #layer(key: string, createdBy: string, make: () => Promise<ByteStream | undefined>): Promise<'cached' | 'done'> {
    const cached = this.#cached(key)
    if (cached !== undefined) {
      this.#state = withStep(this.#state, { key, createdBy, ...cached })
      return 'cached'
    }
    const tar = await make()
    const { signal } = this.#context
    const call = signal === undefined ? {} : { signal }
    const diffId = tar === undefined ? undefined : await this.#context.world.takeLayer(this.#state.diffIds, tar, call)
    const { created } = this.#remember(key, diffId)
    this.#state = withStep(this.#state, { key, created, createdBy, diffId })
    return 'done'
  }

  async #run(instruction: RunInstruction, step: StepName): Promise<'cached' | 'done'> {
    refuseUnsupported(instruction)
    const { world, report, signal } = this.#context
    const command = commandOf(instruction, this.#state)
    const given = this.#scope.arguments
    const counted = given.filter(([name]) => !PROXY_ARGUMENTS.has(name))
    const key = keyAbove(this.#state.key, 'RUN', command, counted, { ...instruction, command: undefined })
    const prefix = counted.length === 0 ? '' : `|${counted.length} ${counted.map(pair => pair.join('=')).join(' ')} `
    const environment = [...(this.#state.config.Env ?? []), ...given.map(pair => pair.join('='))]
    return this.#layer(key, `RUN ${prefix}${command.join(' ')}`, () =>
      world.run(
        { state: this.#state, instruction, command, environment },
        chunk => report({ kind: 'output', step, chunk }),
        signal === undefined ? {} : { signal },
      ),
    )
  }

  async #copy(instruction: CopyInstruction | AddInstruction, text: string): Promise<'cached' | 'done'> {
    refuseUnsupported(instruction)
    const origin = await this.#source(instruction.name === 'COPY' ? instruction.from : undefined)
    try {
      const patterns = new IgnorePatterns(instruction.exclude)
      const isExcluded = (path: string): boolean => patterns.ignores(path)
      const { tree: given, found } = await this.#sources(origin, instruction)
      const { digest, tree } = await digestSources(given, found, isExcluded)
      const sources = { tree, found }
      const key = keyAbove(this.#state.key, { ...instruction, sources: [] }, digest)
      return await this.#layer(key, text, async () => {
        const target = await this.#writable()
        const destination = this.#absolute(instruction.destination)
        const owner = await this.#owner(instruction, target)
        const mode = instruction.chmod === undefined ? undefined : parseMode(instruction.chmod)
        const parents = instruction.name === 'COPY' && instruction.parents
        const now = timestamp(this.#context.world.now())
        const request = { target, destination, owner, mode, parents, isExcluded, now }
        const archives = instruction.name === 'ADD' && instruction.unpack !== false ? await archivesIn(sources) : []
        const files = sources.found.filter(source => !archives.includes(source))
        if (files.length > 0) await copyFiles(sources.tree, files, { ...request, isOneOfMany: sources.found.length > 1 })
        for (const { path } of archives) {
          const kept = instruction.chown === undefined ? undefined : owner
          await this.#unpack(sources.tree.open(path), { ...request, owner: kept, destination: `${destination}/` })
        }
        return packed(target)
      })
    } finally {
      await origin.close()
    }
  }

  /** An archive is a folder with what is in it. Its owners are kept where nobody else is named. */
  async #unpack(archive: ByteStream, request: CopyRequest): Promise<void> {
    const { world, signal } = this.#context
    const tree = await world.unpacked(archive, signal === undefined ? {} : { signal })
    try {
      await copyFiles(tree, [{ path: '', name: '', written: '' }], request)
    } finally {
      await tree.close()
    }
  }

  /** The files that are copied: of a tree, or here-documents. */
  async #sources(tree: ReadableTree, { sources }: CopyInstruction | AddInstruction): Promise<Sources> {
    const found: FoundSource[] = []
    const written = new MemoryTree()
    for (const source of sources) {
      if ('path' in source) found.push(...(await findSources(tree, source.path)))
      else {
        const { name, content } = source.heredoc
        // Two may have one name, and any name may be in it.
        const path = `here-document ${found.length}`
        await written.create(path, { type: 'file', mode: 0o644 })
        await written.write(path, 0, Buffer.from(content))
        found.push({ path, name: posix.basename(name), written: name })
      }
    }
    const hasHeredocs = sources.some(source => 'heredoc' in source)
    return {
      tree: hasHeredocs
        ? new Union([
            { tree: written, access: 'rw' },
            { tree, access: 'ro' },
          ])
        : tree,
      found,
    }
  }

  async #source(name: string | undefined): Promise<ReadableTree> {
    const { plan, world, stage } = this.#context
    if (name === undefined) return world.context(undefined)
    const origin: Origin = plan.originOf(this.#stage, name)
    switch (origin.kind) {
      case 'context':
        return world.context(origin.name)
      case 'stage':
        return world.tree((await stage(origin.number)).diffIds)
      case 'image':
        return world.tree((await world.base(origin.reference, undefined)).diffIds)
      case 'scratch':
        return world.tree([])
      default:
        return origin satisfies never
    }
  }

  async #owner({ name, chown, ...copying }: CopyInstruction | AddInstruction, target: ReadableTree): Promise<Owner | undefined> {
    if (chown !== undefined) return findOwner(target, chown)
    // What comes from the build's context has nobody's owners.
    return name === 'COPY' && 'from' in copying && copying.from !== undefined ? undefined : { uid: 0, gid: 0 }
  }

  async #workdir(instruction: Extract<ConfigInstruction, { readonly name: 'WORKDIR' }>, text: string): Promise<'cached' | 'done'> {
    this.#change(instruction)
    const key = keyAbove(this.#state.key, instruction)
    return this.#layer(key, text, async () => {
      const target = await this.#writable()
      const path = this.#state.config.WorkingDir ?? '/'
      const { node } = await resolvePath(target, path, { last: true })
      if (node?.type === 'directory') return undefined
      const request = { target, owner: { uid: 0, gid: 0 }, mode: undefined, parents: false, isExcluded: () => false }
      const tree = new MemoryTree({ root: EMPTY_DIRECTORY })
      const now = timestamp(this.#context.world.now())
      await copyFiles(tree, [{ path: '', name: '', written: '' }], { ...request, destination: `${path}/`, now })
      return packed(target)
    })
  }

  /** The stage so far, with a branch on top that becomes a layer. */
  async #writable(): Promise<Union> {
    const below = await this.#context.world.tree(this.#state.diffIds)
    const now = (): ReturnType<typeof timestamp> => timestamp(this.#context.world.now())
    return new Union([
      { tree: new MemoryTree({ now, root: (await below.lstat('')) ?? EMPTY_DIRECTORY }), access: 'rw' },
      { tree: below, access: 'ro' },
    ])
  }

  #absolute(path: string): string {
    const absolute = posix.resolve('/', this.#state.config.WorkingDir ?? '/', path)
    return /(?:^|\/)\.{0,2}$/.test(path) && absolute !== '/' ? `${absolute}/` : absolute
  }
}

interface Sources {
  readonly tree: ReadableTree
  readonly found: readonly FoundSource[]
}

async function archivesIn({ tree, found }: Sources): Promise<readonly FoundSource[]> {
  const archives: FoundSource[] = []
  for (const source of found) if (await isArchive(tree, source.path)) archives.push(source)
  return archives
}

const EMPTY_DIRECTORY = { mode: 0o755, uid: 0, gid: 0, modifiedAt: { seconds: 0, nanoseconds: 0 }, xattrs: new Map<string, Uint8Array>() }

function timestamp(date: Date): { readonly seconds: number; readonly nanoseconds: number } {
  const milliseconds = date.getTime()
  return { seconds: Math.floor(milliseconds / 1000), nanoseconds: (milliseconds % 1000) * 1_000_000 }
}

/** What was changed, as a layer tar; closes what it was made on. */
async function* packed(target: Union): AsyncGenerator<Uint8Array> {
  try {
    yield* packLayer(target.changes(), target)
  } finally {
    await target.close()
  }
}

/** What a RUN runs: its list, or its text in the stage's shell. */
function commandOf({ command, heredocs }: RunInstruction, { config }: StageState): readonly string[] {
  if (command.form === 'exec') return command.words
  const [text = ''] = command.words
  const shell = config.Shell ?? ['/bin/sh', '-c']
  const [only] = heredocs
  // A here-document alone is the script.
  if (only !== undefined && heredocs.length === 1 && /^<<-?\S+$/.test(text)) return [...shell, only.content]
  return [...shell, [text, ...heredocs.map(({ name, content }) => `${content}${name}`)].join('\n')]
}
