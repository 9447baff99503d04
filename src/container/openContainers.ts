import type { ByteStream, CallOptions } from '../base/index.ts'
import type { CommitSource, Containers } from './containers.ts'
import type { ContainerInspect } from './inspect.ts'
import { type ContainerImage, type ContainersOptions, Installation } from './installation.ts'
import { checkName } from './names.ts'
import type { ContainerOptions } from './options.ts'
import type { ContainerRecord } from './record.ts'
import type {
  CommitSourceOptions,
  ContainerChange,
  ContainerListOptions,
  ContainerPruneOptions,
  ContainerRemoveOptions,
  ContainerRun,
  ContainerSummary,
  CopyOptions,
  CopyReport,
  CreatedContainer,
  ExecOptions,
  ExecRun,
  LogEntry,
  LogOptions,
  PathStat,
  ProcessTable,
  PruneReport,
  StopOptions,
} from './requests.ts'
import { refresh } from './settle.ts'
import type { AttachedStreams, AttachmentEnd } from './streams.ts'
import type { VolumeInspect, VolumeListOptions, VolumeOptions, VolumePruneOptions } from './volumeInspect.ts'
import { noSuchContainer } from './containerRecords.ts'

/** The containers and volumes of a root. Opening looks at two tables; what a verb needs is loaded by the verb. */
export function openContainers(options: ContainersOptions): Containers {
  return new InstalledContainers(new Installation(options))
}

class InstalledContainers implements Containers {
  readonly #installation: Installation

  constructor(installation: Installation) {
    this.#installation = installation
  }

  async create(options: ContainerOptions, image: ContainerImage): Promise<CreatedContainer> {
    const { createContainer, finishContainer } = await import('./create.ts')
    const { record, warnings } = await createContainer(this.#installation, options, image)
    finishContainer(this.#installation, record.id)
    return { id: record.id, warnings }
  }

  async start(container: string, streams?: AttachedStreams, call?: CallOptions): Promise<ContainerRun> {
    const { startContainer } = await import('./start.ts')
    const { id } = this.#find(container)
    return { id, ...(await startContainer(this.#installation, id, { streams, signal: call?.signal })) }
  }

  async run(options: ContainerOptions, image: ContainerImage, streams?: AttachedStreams, call?: CallOptions): Promise<ContainerRun> {
    const [{ createContainer, discard, finishContainer }, { startContainer }] = await Promise.all([
      import('./create.ts'),
      import('./start.ts'),
    ])
    const { record, warnings } = await createContainer(this.#installation, options, image)
    const { id } = record
    // One that removes itself is shown when it runs, and not before.
    if (options.autoRemove !== true) finishContainer(this.#installation, id)
    try {
      const started = await startContainer(this.#installation, id, { streams, signal: call?.signal })
      return { id, ...started, warnings: [...new Set([...warnings, ...started.warnings])] }
    } catch (error) {
      if (options.autoRemove === true) await discard(this.#installation, record)
      throw error
    }
  }

  async attach(container: string, streams: AttachedStreams, call?: CallOptions): Promise<AttachmentEnd> {
    const { attachToContainer } = await import('./attachToContainer.ts')
    return await attachToContainer(this.#installation, await this.#refreshed(container), { streams, signal: call?.signal })
  }

  async exec(container: string, options: ExecOptions, streams?: AttachedStreams): Promise<ExecRun> {
    const { execInContainer } = await import('./exec.ts')
    return await execInContainer(this.#installation, await this.#refreshed(container), { options, streams })
  }

  async stop(container: string, options?: StopOptions): Promise<void> {
    const { stopContainer } = await import('./stop.ts')
    await stopContainer(this.#installation, await this.#refreshed(container), options)
  }

  async restart(container: string, options?: StopOptions): Promise<void> {
    const { restartContainer } = await import('./restart.ts')
    await restartContainer(this.#installation, await this.#refreshed(container), options)
  }

  async kill(container: string, signal?: string): Promise<void> {
    const { killContainer } = await import('./stop.ts')
    await killContainer(this.#installation, this.#find(container), signal)
  }

  async pause(container: string): Promise<void> {
    const { pauseContainer } = await import('./stop.ts')
    await pauseContainer(this.#installation, this.#find(container))
  }

  async unpause(container: string): Promise<void> {
    const { unpauseContainer } = await import('./stop.ts')
    await unpauseContainer(this.#installation, this.#find(container))
  }

  async wait(container: string, call?: CallOptions): Promise<number> {
    const { conclude } = await import('./ending.ts')
    return await conclude(this.#installation, this.#find(container), call?.signal)
  }

  async rename(container: string, name: string): Promise<void> {
    this.#installation.records.rename(this.#find(container).id, checkName('container', name.replace(/^\//, '')))
  }

  async remove(container: string, options?: ContainerRemoveOptions): Promise<void> {
    const { removeContainer } = await import('./remove.ts')
    await removeContainer(this.#installation, this.#find(container), options)
  }

  async prune(options?: ContainerPruneOptions): Promise<PruneReport<string>> {
    const { pruneContainers } = await import('./remove.ts')
    return await pruneContainers(this.#installation, options)
  }

  async cleanUp(container: string): Promise<void> {
    const { cleanUpContainer } = await import('./cleanUp.ts')
    await cleanUpContainer(this.#installation, container)
  }

  async removeAbandoned(): Promise<number> {
    const { removeAbandoned } = await import('./remove.ts')
    return await removeAbandoned(this.#installation)
  }

  async recover(): Promise<number> {
    const { recover } = await import('./remove.ts')
    return await recover(this.#installation)
  }

  async list(options?: ContainerListOptions): Promise<readonly ContainerSummary[]> {
    const { listContainers } = await import('./list.ts')
    return await listContainers(this.#installation, options)
  }

  images(): readonly { readonly containerId: string; readonly imageId: string; readonly chainId: string | undefined }[] {
    return this.#installation.records.images().map(({ id, imageId, chainId }) => ({ containerId: id, imageId, chainId }))
  }

  async inspect(container: string, options?: { readonly size?: boolean }): Promise<ContainerInspect> {
    const { inspectContainer } = await import('./inspectContainer.ts')
    return await inspectContainer(this.#installation, await this.#refreshed(container), options)
  }

  async *logs(container: string, options?: LogOptions & CallOptions): AsyncGenerator<LogEntry> {
    const { readLogs } = await import('./logs.ts')
    yield* readLogs(this.#installation, this.#find(container), options)
  }

  async top(container: string, psArguments?: readonly string[]): Promise<ProcessTable> {
    const { topOfContainer } = await import('./top.ts')
    return await topOfContainer(this.#installation, await this.#refreshed(container), psArguments)
  }

  async diff(container: string): Promise<readonly ContainerChange[]> {
    const { diffContainer } = await import('./layerContent.ts')
    return await diffContainer(this.#installation, this.#findWithLayer(container, 'show the changes of'))
  }

  async statPath(container: string, path: string): Promise<PathStat> {
    const { statPath } = await import('./files/copyVerbs.ts')
    return await statPath(this.#installation, this.#findWithLayer(container, 'look into'), path)
  }

  async copyFrom(
    container: string,
    path: string,
    options?: CopyOptions & CallOptions,
  ): Promise<{ readonly stat: PathStat; readonly tar: ByteStream }> {
    const { copyFrom } = await import('./files/copyVerbs.ts')
    return await copyFrom(this.#installation, this.#findWithLayer(container, 'copy from'), { ...options, path })
  }

  async copyTo(container: string, path: string, tar: ByteStream, options?: CopyOptions & CallOptions): Promise<CopyReport> {
    const { copyTo } = await import('./files/copyVerbs.ts')
    return await copyTo(this.#installation, this.#findWithLayer(container, 'copy to'), { ...options, path, tar })
  }

  async copyToHost(container: string, path: string, hostPath: string, options?: CopyOptions & CallOptions): Promise<CopyReport> {
    const { copyToHost } = await import('./files/copyVerbs.ts')
    return await copyToHost(this.#installation, this.#findWithLayer(container, 'copy from'), { ...options, path, hostPath })
  }

  async copyFromHost(hostPath: string, container: string, path: string, options?: CopyOptions & CallOptions): Promise<CopyReport> {
    const { copyFromHost } = await import('./files/copyVerbs.ts')
    return await copyFromHost(this.#installation, this.#findWithLayer(container, 'copy to'), { ...options, hostPath, path })
  }

  async commitSource(container: string, options: CommitSourceOptions = {}): Promise<CommitSource> {
    const { containerLayer } = await import('./layerContent.ts')
    const record = this.#findWithLayer(container, 'commit')
    const { image, config } = record.definition
    return { id: record.id, imageId: image.id, config, layer: containerLayer(this.#installation, record, options) }
  }

  async export(container: string): Promise<ByteStream> {
    const { exportContainer } = await import('./layerContent.ts')
    return await exportContainer(this.#installation, this.#findWithLayer(container, 'export'))
  }

  async createVolume(options?: VolumeOptions): Promise<VolumeInspect> {
    return this.#installation.volumes.create(options)
  }

  async volumes(options?: VolumeListOptions & { readonly size?: boolean }): Promise<readonly VolumeInspect[]> {
    return await this.#installation.volumes.list(options)
  }

  async inspectVolume(volume: string): Promise<VolumeInspect> {
    return this.#installation.volumes.inspect(volume)
  }

  async removeVolume(volume: string, options?: { readonly force?: boolean }): Promise<void> {
    this.#installation.volumes.remove(volume, options)
    await this.#installation.volumes.emptyTrash()
  }

  async pruneVolumes(options?: VolumePruneOptions): Promise<PruneReport<string>> {
    return await this.#installation.volumes.prune(options)
  }

  async close(): Promise<void> {
    this.#installation.networks.close()
  }

  #find(container: string): ContainerRecord {
    return this.#installation.records.find(container)
  }

  /** One whose files can be reached. */
  #findWithLayer(container: string, action: string): ContainerRecord {
    const record = this.#find(container)
    this.#installation.requireLayerOf(record, action)
    return record
  }

  /** The container as it is now. */
  async #refreshed(container: string): Promise<ContainerRecord> {
    const record = await refresh(this.#installation, this.#find(container))
    if (record === undefined) throw noSuchContainer(container)
    return record
  }
}
