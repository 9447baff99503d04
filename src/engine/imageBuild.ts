import { readFile } from 'node:fs/promises'
import { join, posix, resolve } from 'node:path'
import { PassThrough } from 'node:stream'
import { type ByteStream, type CallOptions, readIfExists, StrataError, systemError } from '../base/index.ts'
import {
  type BuildEvent,
  type BuildWorld,
  buildTarget,
  CacheMounts,
  contextTree,
  planBuild,
  removeCacheMounts,
  type RunStep,
  stateOfImage,
  StepCache,
} from '../build/index.ts'
import type { AttachmentEnd, Containers, MountOptions, PruneReport } from '../container/index.ts'
import { IgnorePatterns, parseDockerfile } from '../dockerfile/index.ts'
import { composeImage, type ImageRecord, takeNewLayer } from '../image/index.ts'
import type { ReadableTree } from '../layer/index.ts'
import type { Lease } from '../metadata/index.ts'
import { chainIds, type DiffId, type ImageConfig, parseReference, type Platform, withDefaultTag } from '../oci/index.ts'
import type { Snapshotter } from '../snapshot/index.ts'
import { layerUnion } from '../union/index.ts'
import type { Collected } from './garbage.ts'
import { hostPlatform, platformOf } from './hostPlatform.ts'
import { readConfig } from './imageConfig.ts'
import type { Stores } from './stores.ts'

export interface BuildImageOptions {
  /** The Dockerfile; default `Dockerfile` in the context. */
  readonly file?: string
  /** Names of the image, with or without a tag. */
  readonly tags?: readonly string[]
  readonly target?: string
  readonly buildArguments?: Readonly<Record<string, string>>
  readonly platform?: string
  /** Takes nothing that was built before. */
  readonly noCache?: boolean
  /** Hears of each step, and what its command prints. */
  readonly onEvent?: (event: BuildEvent) => void
}

/** What a build needs of the engine that runs it. */
export interface BuildPowers {
  readonly stores: Stores
  /** Where commands of RUN run. */
  containers(): Promise<Containers>
  /** An image by its name, pulled where it is not here, and unpacked. */
  image(reference: string, platform: string | undefined, lease: Lease, call: CallOptions): Promise<ImageRecord>
}

/**
 * Builds the image that a Dockerfile describes.
 *
 * @param context the directory whose files COPY and ADD take
 */
export async function buildImage(
  powers: BuildPowers,
  context: string,
  options: BuildImageOptions & CallOptions,
): Promise<{ readonly imageId: string }> {
  const { stores } = powers
  const names = (options.tags ?? []).map(tag => withDefaultTag(parseReference(tag)))
  const platform = platformOf(options.platform)
  const file = resolve(options.file ?? join(context, 'Dockerfile'))
  const plan = planBuild(parseDockerfile(await readDockerfile(file)), {
    buildArguments: new Map(Object.entries(options.buildArguments ?? {})),
    contexts: new Set(),
    platform,
    buildPlatform: hostPlatform(),
    ...(options.target === undefined ? {} : { target: options.target }),
  })
  await using lease = stores.leases.create()
  const snapshots = await stores.snapshots()
  const world = new EngineWorld(powers, { context, file, platform, wantedPlatform: options.platform, lease, snapshots, call: options })
  const { signal } = options
  const state = await buildTarget(plan, {
    world,
    cache: new StepCache(stores.metadata),
    usesCache: options.noCache !== true,
    report: event => options.onEvent?.(event),
    ...(signal === undefined ? {} : { signal }),
  })
  const created = state.history.findLast(entry => entry.created !== undefined)?.created ?? world.now().toISOString()
  const config: ImageConfig = {
    created,
    ...(state.author === undefined ? {} : { author: state.author }),
    ...state.platform,
    config: state.config,
    rootfs: { type: 'layers', diff_ids: state.diffIds },
    history: state.history,
  }
  const facts = await composeImage(config, Buffer.from(JSON.stringify(config)), { content: stores.content, layers: stores.layers, lease })
  stores.recordImage(facts, names)
  return { imageId: facts.id }
}

async function readDockerfile(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    throw systemError(`read the Dockerfile "${path}"`, error)
  }
}

const cacheDirectory = ({ root }: Stores): string => join(root, 'build', 'cache')

export interface PruneBuildCacheOptions {
  /** Only steps that no build has used since then; cache mounts stay. */
  readonly until?: Date
}

/**
 * Forgets what steps have made and cache mounts have kept.
 *
 * @param collect removes what nothing reaches any more
 */
export async function pruneBuildCache(
  stores: Stores,
  collect: () => Promise<Collected>,
  { until }: PruneBuildCacheOptions = {},
): Promise<PruneReport<string>> {
  const steps = new StepCache(stores.metadata).forget(until)
  const mounts = until === undefined ? await removeCacheMounts(cacheDirectory(stores)) : { removed: [], bytes: 0 }
  const { reclaimedBytes } = await collect()
  return { removed: [...steps, ...mounts.removed], reclaimedBytes: reclaimedBytes + mounts.bytes }
}

interface WorldOptions {
  readonly context: string
  readonly file: string
  readonly platform: Platform
  /** As the user asked for it, of the bases too. */
  readonly wantedPlatform: string | undefined
  readonly lease: Lease
  readonly snapshots: Snapshotter | undefined
  readonly call: CallOptions
}

/** This installation, as a build sees it. */
class EngineWorld implements BuildWorld {
  readonly platform: Platform
  readonly #powers: BuildPowers
  readonly #options: WorldOptions
  readonly #cacheMounts: CacheMounts
  #ignored: Promise<IgnorePatterns> | undefined

  constructor(powers: BuildPowers, options: WorldOptions) {
    this.#powers = powers
    this.#options = options
    this.platform = options.platform
    this.#cacheMounts = new CacheMounts(cacheDirectory(powers.stores))
  }

  async base(reference: string, platform: string | undefined): ReturnType<BuildWorld['base']> {
    const { lease, call, wantedPlatform } = this.#options
    const image = await this.#powers.image(reference, platform ?? wantedPlatform, lease, call)
    return stateOfImage(image.id, (await readConfig(this.#powers.stores, image)).config)
  }

  async context(name: string | undefined): Promise<ReadableTree> {
    if (name !== undefined) throw new TypeError(`there is no context ${name}`)
    return contextTree(this.#options.context, await (this.#ignored ??= this.#readIgnored()))
  }

  async tree(diffIds: readonly DiffId[]): Promise<ReadableTree> {
    const { layers } = this.#powers.stores
    return layerUnion(
      diffIds.toReversed().map(diffId => ({
        index: layers.get(diffId)!.index,
        open: (path, range = {}) => layers.openFile(diffId, path, range),
      })),
    )
  }

  async unpacked(archive: ByteStream, call: CallOptions): Promise<ReadableTree> {
    const { diffId } = await this.#powers.stores.layers.importTar(archive, { lease: this.#options.lease, ...call })
    return this.tree([diffId])
  }

  hasLayer(below: readonly DiffId[], diffId: DiffId): boolean {
    const { lease, snapshots } = this.#options
    const name = chainIds([...below, diffId]).at(-1)!
    lease.add({ kind: 'layer', id: diffId })
    lease.add({ kind: 'snapshot', id: name })
    return this.#powers.stores.layers.get(diffId) !== undefined && (snapshots === undefined || snapshots.has(name))
  }

  async takeLayer(below: readonly DiffId[], tar: ByteStream, call: CallOptions): Promise<DiffId> {
    const { lease, snapshots } = this.#options
    return (await takeNewLayer(tar, below, { layers: this.#powers.stores.layers, snapshots, lease, ...call })).diffId
  }

  async run(step: RunStep, log: (chunk: Uint8Array) => void, call: CallOptions): Promise<ByteStream> {
    const { state, command, environment, instruction } = step
    const containers = await this.#powers.containers()
    // What a step puts where the image will have a volume is the image's.
    const { Volumes: _, ...process } = state.config
    const config: ImageConfig = { ...state.platform, config: process, rootfs: { type: 'layers', diff_ids: state.diffIds } }
    const chainId = chainIds(state.diffIds).at(-1)
    const image = { id: `sha256:${state.key}`, name: 'build', config, ...(chainId === undefined ? {} : { chainId }) }
    const output = new PassThrough().on('data', log)
    using held = new DisposableStack()
    const mounts: MountOptions[] = []
    for (const mount of instruction.mounts) {
      const target = posix.resolve('/', state.config.WorkingDir ?? '/', mount.target!)
      if (mount.type === 'tmpfs') mounts.push({ type: 'tmpfs', target, tmpfs: sizeOf(mount) })
      else {
        const { path } = held.use(await this.#cacheMounts.take(mount, call.signal))
        mounts.push({ type: 'bind', source: path, target, readOnly: mount.readOnly === true })
      }
    }
    const { id, ended } = await containers.run(
      { image: 'build', entrypoint: [], command, env: environment, mounts, ...networkOf(instruction.network) },
      image,
      { stdout: output, stderr: output },
      call,
    )
    const exitCode = await exitCodeOf(ended, call.signal, () => containers.remove(id, { force: true, volumes: true }))
    if (exitCode === 0) return layerOf(containers, id)
    await containers.remove(id, { force: true, volumes: true })
    throw new StrataError(
      'invalidArgument',
      'STRATA_BUILD_STEP_FAILED',
      `Cannot build image: the command "${command.join(' ')}" ended with exit code ${exitCode}`,
    )
  }

  now(): Date {
    return new Date()
  }

  /** `<Dockerfile>.dockerignore` where it is there, else the context's. */
  async #readIgnored(): Promise<IgnorePatterns> {
    const { context, file } = this.#options
    const text = (await readIfExists(`${file}.dockerignore`)) ?? (await readIfExists(join(context, '.dockerignore')))
    return IgnorePatterns.parse(text?.toString() ?? '')
  }
}

const sizeOf = ({ sizeBytes }: RunStep['instruction']['mounts'][number]): NonNullable<MountOptions['tmpfs']> =>
  sizeBytes === undefined ? {} : { sizeBytes }

const networkOf = (network: RunStep['instruction']['network']): { readonly network?: string } => (network === 'default' ? {} : { network })

/** Nobody waits for a command that is not wanted any more: it is ended at once. Rejects with the reason of `signal` then. */
async function exitCodeOf(ended: Promise<AttachmentEnd>, signal: AbortSignal | undefined, end: () => Promise<void>): Promise<number> {
  let ending: Promise<void> | undefined
  const onAbort = (): void => {
    ending = end()
    // It is awaited below, once the command has ended.
    ending.catch(() => undefined)
  }
  signal?.addEventListener('abort', onAbort)
  if (signal?.aborted === true) onAbort()
  try {
    const outcome = await ended
    await ending
    signal?.throwIfAborted()
    return outcome.kind === 'exited' ? outcome.exitCode : 0
  } catch (error) {
    await ending
    throw error
  } finally {
    signal?.removeEventListener('abort', onAbort)
  }
}

/** The layer of a container that has ended, which is removed when it has been read. */
async function* layerOf(containers: Containers, id: string): AsyncGenerator<Uint8Array> {
  try {
    yield* (await containers.commitSource(id, { pause: false, withoutMountPoints: true })).layer
  } finally {
    await containers.remove(id, { force: true, volumes: true })
  }
}
