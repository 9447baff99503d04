import type { BuildImageOptions, PruneBuildCacheOptions } from './imageBuild.ts'
import { createHash } from 'node:crypto'
import { join } from 'node:path'
import type { ByteStream, CallOptions, Durability, Logger } from '../base/index.ts'
import { packageDirectory, StrataError } from '../base/index.ts'
import type {
  AttachedStreams,
  AttachmentEnd,
  ContainerChange,
  ContainerImage,
  ContainerInspect,
  ContainerListOptions,
  ContainerOptions,
  ContainerPruneOptions,
  ContainerRemoveOptions,
  ContainerRun,
  Containers,
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
  VolumeInspect,
  VolumeListOptions,
  VolumeOptions,
  VolumePruneOptions,
} from '../container/index.ts'
import type { FileListing } from '../explore/index.ts'
import { type ImageRecord, ImageStore, ImageUnpack } from '../image/index.ts'
import { type Lease, type Metadata, openMetadata, openRootDirectory, type Resource } from '../metadata/index.ts'
import { familiarName, formatReference, parseReference, withDefaultTag } from '../oci/index.ts'
import type { RegistryServer, ServeOptions } from '../serve/index.ts'
import type { RegistryAccess } from './registryAccess.ts'
import type { CommitOptions } from './containers.ts'
import type { Engine, NetworkListOptions } from './engine.ts'
import type { ImageInspect } from './imageInspect.ts'
import { listImages } from './imageList.ts'
import type { ImageUser, RemovalContext } from './imageRemoval.ts'
import type {
  ArtifactSummary,
  CopiedImage,
  CopyImageOptions,
  HistoryEntry,
  ImageListOptions,
  ImagePruneOptions,
  ImageRemoval,
  ImageRemoveOptions,
  ImageSummary,
  ImportOptions,
  InspectImageOptions,
  ListDirectoryOptions,
  LoadedImage,
  LoadOptions,
  LookOptions,
  PlatformOption,
  PulledImage,
  PullOptions,
  PushedTag,
  PushOptions,
  ReferrerSummary,
  SaveOptions,
} from './images.ts'
import { type PolicyDirectories, readPolicyFile } from './policyFile.ts'
import type { Login, LoginOptions, Logout, RemoteDocument } from './registries.ts'
import type { Stores } from './stores.ts'
import type { DiskUsage, EngineInfo, EngineVersion, NetworkInspect, StoreProblem } from './system.ts'

export interface LocalEngineOptions extends PolicyDirectories {
  readonly root: string
  readonly storageDriver: string | undefined
  readonly durability: Durability
  readonly configDirectory: string
  readonly logger: Logger
}

/** An installation on this machine: the stores of one root, and the containers on them. Parts are loaded when a verb needs them. */
export class LocalEngine implements Engine {
  readonly #options: LocalEngineOptions
  readonly #metadata: Metadata
  readonly #images: ImageStore
  #stores: Promise<Stores> | undefined
  #containers: Promise<Containers> | undefined

  constructor(options: LocalEngineOptions) {
    this.#options = options
    this.#metadata = openMetadata(openRootDirectory(options.root), options.durability)
    this.#images = new ImageStore(this.#metadata)
  }

  async import(source: string | ByteStream, options: ImportOptions & CallOptions = {}): Promise<{ readonly imageId: string }> {
    return (await import('./imageIntake.ts')).importImage(await this.#open(), source, { ...options, ...this.#registryAccess })
  }

  async build(context: string, options: BuildImageOptions & CallOptions = {}): Promise<{ readonly imageId: string }> {
    const powers = {
      stores: await this.#open(),
      containers: () => this.#openContainers(),
      image: async (reference: string, platform: string | undefined, lease: Lease, call: CallOptions) => {
        const image = await this.#imageFor({ image: reference, ...(platform === undefined ? {} : { platform }) }, call)
        await this.#checkTrust(image, reference, call)
        lease.add({ kind: 'blob', id: image.manifest.digest })
        // What nothing can mount is copied into all the same.
        if ((await (await this.#open()).snapshots()) !== undefined) await this.#unpack(image, lease, call)
        return image
      },
    }
    return (await import('./imageBuild.ts')).buildImage(powers, context, options)
  }

  async pruneBuildCache(options?: PruneBuildCacheOptions): Promise<PruneReport<string>> {
    const removal = await this.#removal()
    return (await import('./imageBuild.ts')).pruneBuildCache(removal.stores, () => removal.collect(true), options)
  }

  async load(source: string | ByteStream, options: LoadOptions & CallOptions = {}): Promise<readonly LoadedImage[]> {
    return (await import('./imageIntake.ts')).loadImages(await this.#open(), source, { ...options, ...this.#registryAccess })
  }

  async pull(reference: string, options: PullOptions & CallOptions = {}): Promise<readonly PulledImage[]> {
    return (await import('./imagePull.ts')).pullImages(await this.#open(), reference, { ...options, ...this.#registryAccess })
  }

  async push(reference: string, options: PushOptions & CallOptions = {}): Promise<readonly PushedTag[]> {
    return (await import('./imagePush.ts')).pushImages(await this.#open(), reference, { ...options, ...this.#registryAccess })
  }

  async save(references: readonly string[], options: SaveOptions & CallOptions = {}): Promise<ByteStream> {
    return (await import('./imageOutlet.ts')).saveImages(
      await this.#open(),
      await Promise.all(references.map(each => this.#nameHere(each))),
      options,
    )
  }

  async copy(source: string, destination: string, options: CopyImageOptions & CallOptions = {}): Promise<CopiedImage> {
    const { durability } = this.#options
    return (await import('./imageCopy.ts')).copyImage(
      await this.#open(),
      { source, destination },
      { ...options, durability, ...this.#registryAccess },
    )
  }

  async login(server?: string, options: Partial<LoginOptions> & CallOptions = {}): Promise<Login> {
    return (await import('./registryLogin.ts')).logIn(this.#options, server, options)
  }

  async logout(server?: string): Promise<Logout> {
    return (await import('./registryLogin.ts')).logOut(this.#options, server)
  }

  async *tags(repository: string, call: CallOptions = {}): AsyncGenerator<string> {
    yield* (await import('./remoteQueries.ts')).listTags(repository, { ...call, ...this.#registryAccess })
  }

  async remoteManifest(reference: string, call: CallOptions = {}): Promise<RemoteDocument> {
    return (await import('./remoteQueries.ts')).remoteManifest(reference, { ...call, ...this.#registryAccess })
  }

  async *remoteManifests(reference: string, call: CallOptions = {}): AsyncGenerator<RemoteDocument> {
    yield* (await import('./remoteQueries.ts')).remoteManifests(reference, { ...call, ...this.#registryAccess })
  }

  async serve(options: ServeOptions = {}): Promise<RegistryServer> {
    const { logger, ...access } = this.#registryAccess
    const { serveRegistry } = await import('../serve/index.ts')
    const { hostPlatform } = await import('./hostPlatform.ts')
    return serveRegistry({ stores: await this.#open(), options, logger, platform: hostPlatform(), access })
  }

  async images(options: ImageListOptions = {}): Promise<readonly ImageSummary[]> {
    return listImages(this.#images, options)
  }

  async inspectImage(reference: string, options: InspectImageOptions & CallOptions = {}): Promise<ImageInspect> {
    if (options.remote === true)
      return (await import('./remoteInspect.ts')).inspectRemoteImage(reference, { ...options, ...this.#registryAccess })
    return (await import('./imageQueries.ts')).inspectImage(await this.#open(), await this.#nameHere(reference), options)
  }

  async readFile(reference: string, path: string, options: LookOptions & CallOptions = {}): Promise<ByteStream> {
    const { readImageFile } = await import('./imageFiles.ts')
    return readImageFile(await this.#open(), { text: reference, path }, { ...options, ...this.#registryAccess })
  }

  async *listDirectory(reference: string, path: string, options: ListDirectoryOptions & CallOptions = {}): AsyncGenerator<FileListing> {
    const { listImageDirectory } = await import('./imageFiles.ts')
    yield* listImageDirectory(await this.#open(), { text: reference, path }, { ...options, ...this.#registryAccess })
  }

  async history(reference: string, options: PlatformOption = {}): Promise<readonly HistoryEntry[]> {
    return (await import('./imageQueries.ts')).imageHistory(await this.#open(), await this.#nameHere(reference), options)
  }

  async referrers(reference: string, options: { readonly remote?: boolean } & CallOptions = {}): Promise<readonly ReferrerSummary[]> {
    return (await import('./artifacts.ts')).listReferrers(await this.#open(), reference, { ...options, ...this.#registryAccess })
  }

  async artifacts(): Promise<readonly ArtifactSummary[]> {
    return (await import('./artifacts.ts')).listArtifacts(await this.#open())
  }

  async tag(source: string, target: string): Promise<void> {
    const { tagRoot } = await import('./imageTag.ts')
    tagRoot(await this.#open(), await this.#nameHere(source), withDefaultTag(parseReference(target)))
  }

  async removeImage(reference: string, options: ImageRemoveOptions = {}): Promise<readonly ImageRemoval[]> {
    return (await import('./imageRemoval.ts')).removeImage(await this.#removal(), await this.#nameHere(reference), options)
  }

  async pruneImages(options: ImagePruneOptions & CallOptions = {}): Promise<PruneReport<ImageRemoval>> {
    return (await import('./imageRemoval.ts')).pruneImages(await this.#removal(), options)
  }

  async create(options: ContainerOptions, call: CallOptions = {}): Promise<CreatedContainer> {
    return this.#withImage(options, call, (containers, image) => containers.create(options, image))
  }

  async start(container: string, streams?: AttachedStreams, call?: CallOptions): Promise<ContainerRun> {
    return (await this.#openContainers()).start(container, streams, call)
  }

  async run(options: ContainerOptions, streams?: AttachedStreams, call: CallOptions = {}): Promise<ContainerRun> {
    return this.#withImage(options, call, (containers, image) => containers.run(options, image, streams, call))
  }

  async attach(container: string, streams: AttachedStreams, call?: CallOptions): Promise<AttachmentEnd> {
    return (await this.#openContainers()).attach(container, streams, call)
  }

  async exec(container: string, options: ExecOptions, streams?: AttachedStreams, call?: CallOptions): Promise<ExecRun> {
    return (await this.#openContainers()).exec(container, options, streams, call)
  }

  async stop(container: string, options?: StopOptions): Promise<void> {
    return (await this.#openContainers()).stop(container, options)
  }

  async restart(container: string, options?: StopOptions): Promise<void> {
    return (await this.#openContainers()).restart(container, options)
  }

  async kill(container: string, signal?: string): Promise<void> {
    return (await this.#openContainers()).kill(container, signal)
  }

  async pause(container: string): Promise<void> {
    return (await this.#openContainers()).pause(container)
  }

  async unpause(container: string): Promise<void> {
    return (await this.#openContainers()).unpause(container)
  }

  async wait(container: string, call?: CallOptions): Promise<number> {
    return (await this.#openContainers()).wait(container, call)
  }

  async rename(container: string, name: string): Promise<void> {
    return (await this.#openContainers()).rename(container, name)
  }

  async removeContainer(container: string, options?: ContainerRemoveOptions): Promise<void> {
    return (await this.#openContainers()).remove(container, options)
  }

  async pruneContainers(options?: ContainerPruneOptions): Promise<PruneReport<string>> {
    const containers = await this.#openContainers()
    await containers.recover()
    return containers.prune(options)
  }

  async cleanUpContainer(container: string): Promise<void> {
    return (await this.#openContainers()).cleanUp(container)
  }

  async containers(options?: ContainerListOptions): Promise<readonly ContainerSummary[]> {
    return (await this.#optionalContainers())?.list(options) ?? []
  }

  async inspectContainer(container: string, options?: { readonly size?: boolean }): Promise<ContainerInspect> {
    return (await this.#requireContainers('container', container)).inspect(container, options)
  }

  async *logs(container: string, options?: LogOptions & CallOptions): AsyncGenerator<LogEntry> {
    yield* (await this.#openContainers()).logs(container, options)
  }

  async top(container: string, psArguments?: readonly string[]): Promise<ProcessTable> {
    return (await this.#openContainers()).top(container, psArguments)
  }

  async diff(container: string): Promise<readonly ContainerChange[]> {
    return (await this.#openContainers()).diff(container)
  }

  async statPath(container: string, path: string): Promise<PathStat> {
    return (await this.#openContainers()).statPath(container, path)
  }

  async copyFrom(
    container: string,
    path: string,
    options?: CopyOptions & CallOptions,
  ): Promise<{ readonly stat: PathStat; readonly tar: ByteStream }> {
    return (await this.#openContainers()).copyFrom(container, path, options)
  }

  async copyTo(container: string, path: string, tar: ByteStream, options?: CopyOptions & CallOptions): Promise<CopyReport> {
    return (await this.#openContainers()).copyTo(container, path, tar, options)
  }

  async copyToHost(container: string, path: string, hostPath: string, options?: CopyOptions & CallOptions): Promise<CopyReport> {
    return (await this.#openContainers()).copyToHost(container, path, hostPath, options)
  }

  async copyFromHost(hostPath: string, container: string, path: string, options?: CopyOptions & CallOptions): Promise<CopyReport> {
    return (await this.#openContainers()).copyFromHost(hostPath, container, path, options)
  }

  async commit(container: string, options: CommitOptions & CallOptions = {}): Promise<{ readonly imageId: string }> {
    return (await import('./commit.ts')).commitContainer(await this.#open(), await this.#openContainers(), container, options)
  }

  async export(container: string, call?: CallOptions): Promise<ByteStream> {
    return (await this.#openContainers()).export(container, call)
  }

  async createVolume(options?: VolumeOptions): Promise<VolumeInspect> {
    return (await this.#openContainers()).createVolume(options)
  }

  async volumes(options?: VolumeListOptions): Promise<readonly VolumeInspect[]> {
    return (await this.#optionalContainers())?.volumes(options) ?? []
  }

  async inspectVolume(volume: string): Promise<VolumeInspect> {
    return (await this.#requireContainers('volume', volume)).inspectVolume(volume)
  }

  async removeVolume(volume: string, options?: { readonly force?: boolean }): Promise<void> {
    return (await this.#openContainers()).removeVolume(volume, options)
  }

  async pruneVolumes(options?: VolumePruneOptions): Promise<PruneReport<string>> {
    return (await this.#openContainers()).pruneVolumes(options)
  }

  async networks(options: NetworkListOptions = {}): Promise<readonly NetworkInspect[]> {
    return (await import('./networkQueries.ts')).listNetworks(options, this.#options.durability)
  }

  async inspectNetwork(network: string): Promise<NetworkInspect> {
    return (await import('./networkQueries.ts')).inspectNetwork(network, this.#options.durability)
  }

  async diskUsage(): Promise<DiskUsage> {
    const containers = await this.#optionalContainers()
    return (await import('./diskUsage.ts')).diskUsage(await this.#open(), containers)
  }

  async *check(): AsyncGenerator<StoreProblem> {
    yield* (await import('./check.ts')).checkStores(await this.#open())
  }

  async info(): Promise<EngineInfo> {
    return (await import('./info.ts')).engineInfo(await this.#open(), await this.#optionalContainers(), this.#registryAccess)
  }

  async version(): Promise<EngineVersion> {
    return (await import('./info.ts')).engineVersion()
  }

  async close(): Promise<void> {
    await (await this.#containers?.catch(() => undefined))?.close()
    this.#metadata.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  /** Opens what lists do without. */
  #open(): Promise<Stores> {
    return (this.#stores ??= import('./stores.ts').then(
      ({ Stores }) => new Stores({ ...this.#options, metadata: this.#metadata, images: this.#images }),
    ))
  }

  /** Opens the containers; needs a storage driver, since a container's root filesystem is mounted. */
  #openContainers(): Promise<Containers> {
    return (this.#containers ??= this.#startContainers())
  }

  async #startContainers(): Promise<Containers> {
    const { openContainers } = await import('../container/index.ts')
    const { openNetworks } = await import('../network/index.ts')
    const { root, durability, logger } = this.#options
    const snapshots = await (await this.#open()).requireSnapshots('work with containers')
    return openContainers({
      root,
      runDirectory: runDirectoryOf(root),
      metadata: this.#metadata,
      snapshots,
      networks: openNetworks({ durability }),
      // What is due after an end concerns the same layers.
      strataCommand: [PROGRAM, '--root', root, '--storage-driver', snapshots.driverName, ...(durability.isWanted ? [] : ['--no-fsync'])],
      findImage: async reference => this.#images.find(reference),
      logger,
    })
  }

  /** Undefined where there can be none, because nothing can be mounted. */
  async #optionalContainers(): Promise<Containers | undefined> {
    return (await (await this.#open()).snapshots()) === undefined ? undefined : this.#openContainers()
  }

  /** For a look at one thing: where there can be no containers there is no such thing. */
  async #requireContainers(kind: 'container' | 'volume', name: string): Promise<Containers> {
    const containers = await this.#optionalContainers()
    if (containers !== undefined) return containers
    throw new StrataError(
      'notFound',
      `STRATA_NO_SUCH_${kind === 'volume' ? 'VOLUME' : 'CONTAINER'}`,
      `Cannot find ${kind} "${name}": there are none without root`,
    )
  }

  async #removal(): Promise<RemovalContext> {
    const containers = await this.#optionalContainers()
    await containers?.removeAbandoned()
    const held = function* (): Iterable<Resource> {
      for (const { containerId, chainId } of containers?.images() ?? []) {
        yield { kind: 'snapshot', id: containerId }
        if (chainId !== undefined) yield { kind: 'snapshot', id: chainId }
      }
    }
    const running = new Set((await containers?.list())?.map(({ id }) => id))
    const users = (): readonly ImageUser[] =>
      (containers?.images() ?? []).map(({ containerId, imageId }) => ({
        containerId,
        imageId,
        running: running.has(containerId),
      }))
    const stores = await this.#open()
    const { collectGarbage } = await import('./garbage.ts')
    return { stores, users, collect: interrupted => collectGarbage(stores, { containers: held, interrupted }) }
  }

  /** Finds or pulls the image of a container, unpacks it where it is not, and keeps it until `use` is done. */
  async #withImage<Result>(
    options: ContainerOptions,
    call: CallOptions,
    use: (containers: Containers, image: ContainerImage) => Promise<Result>,
  ): Promise<Result> {
    const containers = await this.#openContainers()
    const stores = await this.#open()
    await using lease = stores.leases.create()
    const image = await this.#imageFor(options, call)
    await this.#checkTrust(image, options.image, call)
    lease.add({ kind: 'blob', id: image.manifest.digest })
    await this.#unpack(image, lease, call)
    const { readConfig } = await import('./imageConfig.ts')
    const { config } = await readConfig(stores, image)
    const { chainId } = image
    return await use(containers, { id: image.id, name: options.image, config, ...(chainId === undefined ? {} : { chainId }) })
  }

  get #registryAccess(): RegistryAccess {
    const { configDirectory, systemDirectory, userConfigDirectory, logger } = this.#options
    return { configDirectory, systemDirectory, userConfigDirectory, logger }
  }

  /** The policy may have changed since an image came, and a name may have been given to another one. */
  async #checkTrust(image: ImageRecord, text: string, { signal }: CallOptions): Promise<void> {
    const policy = await readPolicyFile(this.#options)
    if (policy === undefined) return
    const { checkStoredTrust } = await import('./storedTrust.ts')
    const name = await this.#nameHere(text)
    await checkStoredTrust(await this.#open(), policy, { image, text: name, ...(signal === undefined ? {} : { signal }) })
  }

  async #imageFor(options: ContainerOptions, call: CallOptions): Promise<ImageRecord> {
    const { image: text, pull = 'missing', platform } = options
    const name = pull === 'always' ? text : await this.#nameHere(text)
    const suitable = pull === 'always' ? undefined : await this.#imageHere(name, platform)
    if (suitable !== undefined) return suitable
    if (pull === 'never' || /^(?:sha256:)?[0-9a-f]{64}$/.test(text)) return this.#images.resolve(name)
    if (pull === 'missing')
      call.onProgress?.({ id: '', status: `Unable to find image '${familiarName(withDefaultTag(parseReference(text)))}' locally` })
    const { tag, digest } = parseReference(text)
    // Of the tag that is put in, docker says nothing here.
    const [pulled] = await this.pull(tag === undefined && digest === undefined ? `${text}:latest` : text, {
      ...call,
      ...(platform === undefined ? {} : { platforms: [platform] }),
    })
    const { reference } = pulled!
    return (await this.#imageHere(reference, platform)) ?? this.#images.resolve(reference)
  }

  /** What an image is called here that people mean by `text`: where nothing has that name, and it is an alias, what it is an alias of. */
  async #nameHere(text: string): Promise<string> {
    if (this.#images.nameMeant(text) !== undefined || this.#images.find(text) !== undefined) return text
    const { aliasedReference } = await import('../registry/index.ts')
    const aliased = await aliasedReference(text, this.#registryAccess)
    const name = aliased === undefined ? undefined : withDefaultTag(aliased)
    return name === undefined || this.#images.rootOf(name) === undefined ? text : formatReference(name)
  }

  async #imageHere(text: string, platform: string | undefined): Promise<ImageRecord | undefined> {
    if (platform === undefined) return this.#images.find(text)
    return (await import('./imagePlatform.ts')).findImageFor(await this.#open(), text, platform)
  }

  /** An image that came when nothing could be mounted, or with another driver, has its layers but no snapshots. */
  async #unpack(image: ImageRecord, lease: Lease, { signal }: CallOptions): Promise<void> {
    const stores = await this.#open()
    const snapshots = await stores.requireSnapshots('run a container')
    if (image.chainId === undefined) return
    lease.add({ kind: 'snapshot', id: image.chainId })
    if (snapshots.has(image.chainId)) return
    await using unpack = ImageUnpack.begin(
      image.diffIds,
      { layers: stores.layers, snapshots },
      { lease, ...(signal === undefined ? {} : { signal }) },
    )
    if (unpack.missing.length > 0) {
      throw new StrataError(
        'dataLoss',
        'STRATA_LAYER_MISSING',
        `Cannot unpack image "${image.id}": layer ${image.diffIds[unpack.missing[0]!]} is gone`,
        {
          hint: 'Pull or load the image again.',
        },
      )
    }
    await unpack.commit()
  }
}

/** What conmon calls when a container has ended: this installation's own command. */
const PROGRAM = join(packageDirectory(), 'bin', 'strata')

/** Sockets live here, whose paths must be short; one folder for each root. */
function runDirectoryOf(root: string): string {
  return join('/run/strata', createHash('sha256').update(root).digest('hex').slice(0, 12))
}
