import type { StringMap } from '../container/index.ts'

export interface PlatformOption {
  /** `os[/architecture[/variant]]`; default this machine's. */
  readonly platform?: string
}

export interface LookOptions extends PlatformOption {
  /** In its registry, also when the image is here; an image that is not here is always looked for there. */
  readonly remote?: boolean
}

export interface InspectImageOptions extends PlatformOption {
  /** As its registry has it; default as it is here. */
  readonly remote?: boolean
}

export interface ListDirectoryOptions extends LookOptions {
  /** Directories below, too, each after the one that it is in. */
  readonly recursive?: boolean
  /** A symlink at the end of the path is shown itself. Default: the directory that it leads to is listed. */
  readonly showsLink?: boolean
}

export interface ImportOptions extends PlatformOption {
  /** The new image's name. */
  readonly reference?: string
  readonly message?: string
  /** Dockerfile instructions for the config, such as `CMD ["bash"]`. */
  readonly changes?: readonly string[]
}

export type LoadOptions = PlatformOption

export interface LoadedImage {
  readonly imageId: string
  /** Familiar, such as `debian:12`; undefined for an image without a name. */
  readonly name: string | undefined
}

export interface PullOptions extends PlatformOption {
  /** Every tag of the repository; the reference must have neither tag nor digest. */
  readonly allTags?: boolean
}

export interface PulledImage {
  /** Canonical, such as `docker.io/library/debian:12`. */
  readonly reference: string
  /** Familiar, such as `debian:12`. */
  readonly name: string
  readonly manifestDigest: string
  readonly imageId: string
  /** False when the name stood for this manifest already. */
  readonly newer: boolean
}

export type LayerCompression = 'gzip' | 'zstd' | 'none'

export interface PushOptions extends PlatformOption {
  readonly allTags?: boolean
  /** For layers that have no compressed form yet. Default `gzip`. */
  readonly compression?: LayerCompression
}

export interface PushedTag {
  readonly tag: string
  readonly manifestDigest: string
  readonly manifestBytes: number
}

export interface SaveOptions extends PlatformOption {
  /** `docker` (default) is an archive that both `docker load` and OCI tools read; `oci` leaves out docker's own files. */
  readonly format?: 'docker' | 'oci'
}

export interface ImageListOptions {
  /** With images that are only parents of others. */
  readonly all?: boolean
  /** Patterns over `name`, `name:tag` or `name@digest`; any of them. */
  readonly references?: readonly string[]
  /** `key` or `key=value`, all of which it has. */
  readonly labels?: readonly string[]
  readonly dangling?: boolean
  /** Only images made before or after that one. */
  readonly before?: string
  readonly since?: string
  readonly until?: Date
}

export interface ImageSummary {
  readonly id: string
  /** '' when there is none. */
  readonly parentId: string
  /** Familiar, such as `debian:12`; empty for a dangling image. */
  readonly tags: readonly string[]
  /** Familiar, with the manifest's digest: `debian@sha256:…`. */
  readonly digests: readonly string[]
  readonly createdAt: Date
  /** The sum over layers of file content bytes. */
  readonly sizeBytes: number
  /** Of those, what other images have too; only in `diskUsage()`. */
  readonly sharedBytes?: number
  /** How many containers have it; only in `diskUsage()`. */
  readonly containers?: number
  readonly labels: StringMap
}

export interface HistoryEntry {
  /** Undefined where only the layer is known: docker's `<missing>`. */
  readonly imageId: string | undefined
  readonly createdAt: Date | undefined
  readonly createdBy: string
  readonly comment: string
  readonly sizeBytes: number
  readonly tags: readonly string[]
}

export interface ImageRemoveOptions {
  /** Also with several names, or with a stopped container. */
  readonly force?: boolean
  /** Keeps parents without a name. */
  readonly keepParents?: boolean
}

/** One thing that went: a name (familiar) or an id. */
export type ImageRemoval = { readonly kind: 'untagged'; readonly name: string } | { readonly kind: 'deleted'; readonly id: string }

export interface ImagePruneOptions {
  readonly all?: boolean
  readonly until?: Date
  readonly labels?: readonly string[]
  readonly labelsAbsent?: readonly string[]
}
