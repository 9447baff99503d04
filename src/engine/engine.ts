import type { BuildImageOptions, PruneBuildCacheOptions } from './imageBuild.ts'
import type { ByteStream, CallOptions } from '../base/index.ts'
import type {
  AttachedStreams,
  AttachmentEnd,
  ContainerInspect,
  ContainerOptions,
  PruneReport,
  VolumeInspect,
  VolumeListOptions,
  VolumeOptions,
  VolumePruneOptions,
} from '../container/index.ts'
import type {
  ContainerChange,
  ContainerListOptions,
  ContainerPruneOptions,
  ContainerRemoveOptions,
  ContainerRun,
  ContainerSummary,
  CommitOptions,
  CopyOptions,
  CopyReport,
  CreatedContainer,
  ExecOptions,
  ExecRun,
  LogEntry,
  LogOptions,
  PathStat,
  ProcessTable,
  StopOptions,
} from './containers.ts'
import type { FileListing } from '../explore/index.ts'
import type { RegistryServer, ServeOptions } from '../serve/index.ts'
import type { ImageInspect } from './imageInspect.ts'
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
import type { Login, LoginOptions, Logout, RemoteDocument } from './registries.ts'
import type { DiskUsage, EngineInfo, EngineVersion, NetworkInspect, StoreProblem } from './system.ts'

/**
 * One installation of Strata: its store, its images, its containers. Every verb of the command line
 * is one method here; the command line adds only parsing and printing.
 *
 * Any number of engines, in any number of processes, work on one root at once. What a method has
 * acknowledged survives a crash; what was under way at one leaves garbage that the next prune takes.
 *
 * In this interface `reference` is what people type for an image: a name with or without a domain,
 * tag and digest, an image id, or a unique prefix of one. `container` is a container's name, id or a
 * unique prefix of the id; `volume` and `network` are names (a network also by id).
 *
 * Every method rejects with a StrataError: `notFound` when a named thing is not there (with
 * `STRATA_NO_SUCH_IMAGE`, `…_CONTAINER`, `…_VOLUME`, `…_NETWORK`), `invalidArgument` for what can not
 * be parsed or is ambiguous, `conflict` when the state of a thing forbids it.
 * Where there is a `policy.json`, the methods that bring images in and those that make containers of them reject with
 * `permissionDenied` (STRATA_POLICY_REJECTED) for what it does not allow (docs/adr/0009-trust.md).
 * Where a method takes CallOptions, aborting its signal rejects with `cancelled` and leaves nothing
 * half-visible; progress has docker's words (`Downloading`, `Pull complete`), and a report whose `id`
 * is '' is a line for people about the whole call (`Unable to find image 'x:latest' locally`).
 *
 * A method that only looks is cheap to call on a big store: `images()` reads no blob.
 */
export interface Engine extends AsyncDisposable {
  // Images: where they come from and go to

  /**
   * Makes an image of one layer from a root filesystem's tar, plain or compressed.
   *
   * @param source the path of a file, an http(s) URL, or the bytes
   */
  import(source: string | ByteStream, options?: ImportOptions & CallOptions): Promise<{ readonly imageId: string }>
  /**
   * Builds the image that a Dockerfile describes.
   *
   * @param context the directory whose files COPY and ADD take
   * Rejects with `invalidArgument` (STRATA_DOCKERFILE_INVALID, STRATA_BUILD_STEP_FAILED).
   */
  build(context: string, options?: BuildImageOptions & CallOptions): Promise<{ readonly imageId: string }>
  /** Forgets what builds have kept for later ones: layers of steps, and what cache mounts have. */
  pruneBuildCache(options?: PruneBuildCacheOptions): Promise<PruneReport<string>>
  /**
   * Loads what `save`, `copy` and other tools wrote: docker-archives, old ones too, OCI layouts in a tar or a directory, and `dir:`
   * directories. All of it or nothing.
   *
   * Rejects with `notFound` (STRATA_BASE_MISSING) for an archive of what is new since an image that is not here.
   */
  load(source: string | ByteStream, options?: LoadOptions & CallOptions): Promise<readonly LoadedImage[]>
  /** Resolves when the images are stored, unpacked where the driver unpacks, and named. Several with `allTags`. */
  pull(reference: string, options?: PullOptions & CallOptions): Promise<readonly PulledImage[]>
  push(reference: string, options?: PushOptions & CallOptions): Promise<readonly PushedTag[]>
  /** An archive of the images and what they share, once; bytes are made as they are read. Unknown names reject before the first byte. */
  save(references: readonly string[], options?: SaveOptions & CallOptions): Promise<ByteStream>
  /**
   * Copies an image, an index or an artifact from one place to another, each `docker://REF`, `docker-archive:PATH[:REF|:@INDEX]`,
   * `oci:DIR[:TAG|:@INDEX]`, `oci-archive:PATH[:TAG|:@INDEX]`, `dir:DIR` or `strata:REF` (this store). Nothing is unpacked, but into this store,
   * nor compressed: digests stay. It appears at its destination when all of it is there. What is said about it (referrers, and
   * signatures below cosign's tags) goes along from a registry or this store to a registry, and from a registry to this store; files
   * have it not.
   */
  copy(source: string, destination: string, options?: CopyImageOptions & CallOptions): Promise<CopiedImage>

  // Registries: who we are there, and what is there

  /**
   * Asks a registry whether it takes these credentials, and keeps them where docker would: with the credential helper that the
   * user's `config.json` names, else in that file. Without any, asks about those that the user has.
   *
   * @param server its host, with or without a scheme and a path; default Docker Hub
   * Rejects with `unauthorized` (STRATA_LOGIN_REFUSED) when it does not take them, and with `notFound` (STRATA_NO_CREDENTIALS)
   * when there are none.
   */
  login(server?: string, options?: Partial<LoginOptions> & CallOptions): Promise<Login>
  /** Forgets what `login` keeps for a registry. */
  logout(server?: string): Promise<Logout>
  /** The tags that a repository has in its registry, in the order of the registry; a page is fetched when it is asked for. */
  tags(repository: string, call?: CallOptions): AsyncIterable<string>
  /** The manifest or index that a name stands for in its registry, byte for byte. An image id is no name here. */
  remoteManifest(reference: string, call?: CallOptions): Promise<RemoteDocument>
  /** The manifests of the images that a name stands for in its registry: one, or all that an index lists, each fetched when it is asked for. */
  remoteManifests(reference: string, call?: CallOptions): AsyncIterable<RemoteDocument>
  /**
   * Serves the images as a registry until it is closed; resolves when clients can connect. Close it before the engine.
   *
   * Rejects with `invalidArgument` for what would let strangers in, and with `conflict` when the address is in use.
   */
  serve(options?: ServeOptions): Promise<RegistryServer>

  // Images: what is here

  images(options?: ImageListOptions): Promise<readonly ImageSummary[]>
  /** With `remote`, of the image in its registry: manifest and config are fetched, and no layer. Then `Size` is that of the compressed layers. */
  inspectImage(reference: string, options?: InspectImageOptions & CallOptions): Promise<ImageInspect>
  /** Newest first, as docker prints it. */
  history(reference: string, options?: PlatformOption): Promise<readonly HistoryEntry[]>
  /**
   * What is said about an image, and about that: as it was pulled along, or with `remote` as the registry has it now.
   */
  referrers(reference: string, options?: { readonly remote?: boolean } & CallOptions): Promise<readonly ReferrerSummary[]>
  /**
   * What is kept and is no image: charts, policies, indexes without an image for here, and whatever else registries hold. By
   * name; where no tag leads to it, with its digest. What a cache has is in `diskUsage()`.
   */
  artifacts(): Promise<readonly ArtifactSummary[]>
  /** Gives an image one more name; the name is taken from the image that had it. */
  tag(source: string, target: string): Promise<void>
  /** Removes a name, and with the last name the image. Rejects with `conflict` while a container has the image, unless forced. */
  removeImage(reference: string, options?: ImageRemoveOptions): Promise<readonly ImageRemoval[]>
  /**
   * Removes dangling images, or with `all` every image without a container and what a cache has; what is kept by its digest
   * alone; and then what nothing reaches. With a filter only images.
   */
  pruneImages(options?: ImagePruneOptions & CallOptions): Promise<PruneReport<ImageRemoval>>

  // Images: what is in them

  /**
   * The content of a file of an image, which is not mounted, and need not be here: then it is read from its registry, and nothing
   * stays here. Of the layers only those are fetched that decide about the file, from the top down; one with a table of
   * contents (eStargz, zstd:chunked) that its manifest vouches for in parts, any other one whole, to its end. All bytes are verified before
   * they are given out: against the digest of the layer, or of the piece in the table. A table is believed as the manifest is: it
   * could differ from the tar that a pull unpacks.
   *
   * @param path is resolved as in a container: symlinks are followed, and nothing leads out of the image
   * Rejects before the first byte with `notFound` (STRATA_NO_SUCH_IMAGE, STRATA_NO_SUCH_MANIFEST, STRATA_NO_SUCH_FILE), and with
   * `invalidArgument` for a path that leads through or to something else (STRATA_NOT_A_DIRECTORY, STRATA_NOT_A_FILE); the
   * stream throws `dataLoss` for a piece that is not what the table says.
   */
  readFile(reference: string, path: string, options?: LookOptions & CallOptions): Promise<ByteStream>
  /** What is in a directory of an image, read as `readFile` does: the layers down to one that hides the rest. */
  listDirectory(reference: string, path: string, options?: ListDirectoryOptions & CallOptions): AsyncIterable<FileListing>

  // Containers: their life

  /** Makes a container and does not start it; pulls the image as `options.pull` says. */
  create(options: ContainerOptions, call?: CallOptions): Promise<CreatedContainer>
  /**
   * Starts a container that does not run; one that runs already is left alone.
   *
   * @param streams are attached before the process starts, so that nothing it writes is missed
   * Resolves when the process has started. Rejects with `STRATA_COMMAND_NOT_FOUND` or
   * `STRATA_COMMAND_NOT_EXECUTABLE` when the image's command can not be.
   */
  start(container: string, streams?: AttachedStreams, call?: CallOptions): Promise<ContainerRun>
  /** `create` and `start` in one. When the start fails and `autoRemove` was asked for, no container is left. */
  run(options: ContainerOptions, streams?: AttachedStreams, call?: CallOptions): Promise<ContainerRun>
  /** Connects to a running container; resolves with the way it ended. */
  attach(container: string, streams: AttachedStreams, call?: CallOptions): Promise<AttachmentEnd>
  /** Runs one more process in a running container. Rejects as `start` does for a missing command. */
  exec(container: string, options: ExecOptions, streams?: AttachedStreams, call?: CallOptions): Promise<ExecRun>
  /** The stop signal, and SIGKILL when the time is over. A stopped container is left alone. */
  stop(container: string, options?: StopOptions): Promise<void>
  restart(container: string, options?: StopOptions): Promise<void>
  /** @param signal a name with or without `SIG`, or a number; default `KILL` */
  kill(container: string, signal?: string): Promise<void>
  pause(container: string): Promise<void>
  unpause(container: string): Promise<void>
  /** Resolves with the exit code when the container does not run; at once if it does not. */
  wait(container: string, call?: CallOptions): Promise<number>
  rename(container: string, name: string): Promise<void>
  /** Rejects with `conflict` for a running container, unless forced: then it is killed. */
  removeContainer(container: string, options?: ContainerRemoveOptions): Promise<void>
  pruneContainers(options?: ContainerPruneOptions): Promise<PruneReport<string>>
  /** What is due after a container's process has ended; conmon's exit command calls it. Repetition does no harm. */
  cleanUpContainer(container: string): Promise<void>

  // Containers: what is known of them

  containers(options?: ContainerListOptions): Promise<readonly ContainerSummary[]>
  inspectContainer(container: string, options?: { readonly size?: boolean }): Promise<ContainerInspect>
  /** Ends at the log's end, or with `follow` when the container stops. */
  logs(container: string, options?: LogOptions & CallOptions): AsyncIterable<LogEntry>
  /** @param psArguments given to `ps`; default `-ef` */
  top(container: string, psArguments?: readonly string[]): Promise<ProcessTable>
  /** What the container layer changes, sorted by path. */
  diff(container: string): Promise<readonly ContainerChange[]>

  // Containers: files in and out

  statPath(container: string, path: string): Promise<PathStat>
  /** The path as a tar whose first name is the path's last part. Nothing is followed out of the container. */
  copyFrom(
    container: string,
    path: string,
    options?: CopyOptions & CallOptions,
  ): Promise<{ readonly stat: PathStat; readonly tar: ByteStream }>
  /** Unpacks a tar (any compression) in an existing directory of the container. */
  copyTo(container: string, path: string, tar: ByteStream, options?: CopyOptions & CallOptions): Promise<CopyReport>
  /** As `cp`: what a trailing `/` or `/.` and a missing target mean is docker's documented table. */
  copyToHost(container: string, path: string, hostPath: string, options?: CopyOptions & CallOptions): Promise<CopyReport>
  copyFromHost(hostPath: string, container: string, path: string, options?: CopyOptions & CallOptions): Promise<CopyReport>
  /** Freezes the container layer as the top layer of a new image. */
  commit(container: string, options?: CommitOptions & CallOptions): Promise<{ readonly imageId: string }>
  /** The container's whole root filesystem as one tar. */
  export(container: string, call?: CallOptions): Promise<ByteStream>

  // Volumes and networks

  /** Rejects with `conflict` when a volume has the name but other options; the same again changes nothing. */
  createVolume(options?: VolumeOptions): Promise<VolumeInspect>
  volumes(options?: VolumeListOptions): Promise<readonly VolumeInspect[]>
  inspectVolume(volume: string): Promise<VolumeInspect>
  /** Rejects with `conflict` while a container has it. With `force`, one that is not there is no error. */
  removeVolume(volume: string, options?: { readonly force?: boolean }): Promise<void>
  /** Removes volumes that no container has: the anonymous ones, or with `all` the named ones too. */
  pruneVolumes(options?: VolumePruneOptions): Promise<PruneReport<string>>
  networks(options?: NetworkListOptions): Promise<readonly NetworkInspect[]>
  inspectNetwork(network: string): Promise<NetworkInspect>

  // The installation

  diskUsage(): Promise<DiskUsage>
  /**
   * Reads every blob and every layer of the root and gives what is not as it was stored. A damaged blob is marked, and
   * the next pull or load replaces it. Safe while others work.
   */
  check(): AsyncIterable<StoreProblem>
  info(): Promise<EngineInfo>
  version(): Promise<EngineVersion>
  /** Releases what the engine holds open; containers go on. Repetition does no harm. */
  close(): Promise<void>
}

export interface NetworkListOptions {
  readonly names?: readonly string[]
  readonly ids?: readonly string[]
  readonly drivers?: readonly string[]
  readonly labels?: readonly string[]
}
