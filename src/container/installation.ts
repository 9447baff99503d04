import { type Logger, StrataError } from '../base/index.ts'
import type { Metadata } from '../metadata/index.ts'
import type { Networks } from '../network/index.ts'
import type { ChainId, ImageConfig } from '../oci/index.ts'
import type { Monitor, OciRuntime, RuntimeFacts } from '../runtime/index.ts'
import type { Snapshotter } from '../snapshot/index.ts'
import { ContainerRecords } from './containerRecords.ts'
import { ContainerLocks } from './locks.ts'
import type { ContainerRecord } from './record.ts'
import { ContainerPaths } from './paths.ts'
import { Volumes } from './volumes.ts'

/** An image that a container can be made from: unpacked, and held by a lease of the caller. */
export interface ContainerImage {
  /** `sha256:…` of its config. */
  readonly id: string
  /** As it was asked for. */
  readonly name: string
  readonly config: ImageConfig
  /** Names the committed snapshot of its files; absent for an image without layers. */
  readonly chainId?: ChainId
}

export interface ContainersOptions {
  readonly root: string
  /** One per root, on a memory file system, with a short path: it holds sockets. */
  readonly runDirectory: string
  readonly metadata: Metadata
  readonly snapshots: Snapshotter
  readonly networks: Networks
  /** What conmon runs after a container's end: a program and the arguments before `container cleanup ID`. */
  readonly strataCommand: readonly [program: string, ...args: string[]]
  /** The image that a reference means now. */
  readonly findImage: (reference: string) => Promise<{ readonly id: string; readonly chainId?: string | undefined } | undefined>
  readonly logger: Logger
}

/**
 * What the verbs on containers work with. Runtime and monitor are looked for when they are first
 * needed: a list of containers needs neither.
 */
export class Installation {
  readonly metadata: Metadata
  readonly snapshots: Snapshotter
  readonly networks: Networks
  readonly logger: Logger
  readonly findImage: ContainersOptions['findImage']
  readonly records: ContainerRecords
  readonly volumes: Volumes
  readonly paths: ContainerPaths
  readonly locks: ContainerLocks
  readonly #strataCommand: ContainersOptions['strataCommand']
  #runtime: Promise<OciRuntime> | undefined
  #monitor: Promise<Monitor> | undefined
  #facts: Promise<RuntimeFacts> | undefined

  constructor(options: ContainersOptions) {
    this.metadata = options.metadata
    this.snapshots = options.snapshots
    this.networks = options.networks
    this.logger = options.logger
    this.findImage = options.findImage
    this.#strataCommand = options.strataCommand
    this.records = new ContainerRecords(options.metadata)
    this.paths = new ContainerPaths(options.root, options.runDirectory)
    this.locks = new ContainerLocks(this.paths.locks)
    this.volumes = new Volumes({ root: options.root, paths: this.paths, metadata: options.metadata, locks: this.locks })
  }

  runtime(): Promise<OciRuntime> {
    this.#runtime ??= this.#openRuntime()
    return this.#runtime
  }

  monitor(): Promise<Monitor> {
    this.#monitor ??= this.#openMonitor()
    return this.#monitor
  }

  /** Facts of this machine without its devices, read once. */
  facts(): Promise<RuntimeFacts> {
    this.#facts ??= import('../runtime/index.ts').then(({ readRuntimeFacts }) => readRuntimeFacts())
    return this.#facts
  }

  /** Whether the container layer is with the storage driver of this installation. */
  hasLayerOf({ definition: { driver } }: ContainerRecord): boolean {
    return driver === undefined || driver === this.snapshots.driverName
  }

  /** Throws `conflict` (STRATA_OTHER_DRIVER) for a container whose layer another storage driver has. */
  requireLayerOf(record: ContainerRecord, action: string): void {
    if (this.hasLayerOf(record)) return
    const { driver } = record.definition
    throw new StrataError(
      'conflict',
      'STRATA_OTHER_DRIVER',
      `Cannot ${action} container "${record.name}": storage driver ${driver} has its layer, and ${this.snapshots.driverName} is in use`,
      { hint: `Use \`strata --storage-driver ${driver}\`.` },
    )
  }

  exitCommand(id: string): readonly [program: string, ...args: string[]] {
    return [...this.#strataCommand, 'container', 'cleanup', id]
  }

  async #openRuntime(): Promise<OciRuntime> {
    const { openRuntime } = await import('../runtime/index.ts')
    return await openRuntime({ stateDirectory: this.paths.runtimeState, facts: await this.facts() })
  }

  async #openMonitor(): Promise<Monitor> {
    const { openMonitor } = await import('../runtime/index.ts')
    return await openMonitor({ runtime: await this.runtime() })
  }
}
