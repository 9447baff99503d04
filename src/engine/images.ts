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

export interface RateOption {
  /** The most bytes per second, over all connections of the call and in both directions. Default: as fast as it goes. */
  readonly limitRate?: number
}

export interface PullOptions extends RateOption {
  /**
   * `os[/architecture[/variant]]` each. Of one platform (default this machine's) the name stands for its image; of several,
   * or `all`, for the index with those images.
   */
  readonly platforms?: readonly string[] | 'all'
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

export interface PushOptions extends RateOption {
  /** Only these of the name's platforms; default all that are here. */
  readonly platforms?: readonly string[]
  readonly allTags?: boolean
  /** For layers that have no compressed form yet. Default `gzip`. */
  readonly compression?: LayerCompression
}

export interface PushedTag {
  readonly tag: string
  readonly manifestDigest: string
  readonly manifestBytes: number
}

/** A manifest that says something about an image: a signature, a list of parts, an attestation. */
export interface ReferrerSummary {
  readonly digest: string
  /** Of the manifest that it is about: the image, its index, or another referrer. */
  readonly subject: string
  /** Of the artifact, else of its config. */
  readonly artifactType: string
  /** Bytes of the manifest and all that it names. */
  readonly sizeBytes: number
  readonly annotations: StringMap
  /** Where it is found by tag: `sha256-….sig`. */
  readonly tag?: string
}

export interface ArtifactSummary {
  /** Familiar, with the tag. */
  readonly name: string
  readonly digest: string
  readonly artifactType: string
  readonly sizeBytes: number
}

export interface SaveOptions {
  /**
   * `docker-archive` (default) is an archive that both `docker load` and OCI tools read; `oci-archive` leaves out docker's own
   * files. `docker` and `oci` mean the same.
   */
  readonly format?: 'docker-archive' | 'oci-archive' | 'docker' | 'oci'
  /** Only these of a name's platforms; default all that are here. */
  readonly platforms?: readonly string[]
  /** For layers that are plain tars; those that are compressed stay as they are. Default `none`. */
  readonly compression?: LayerCompression
  /** An image that the reader of the archive has: what it has is left out, and only `load` takes the archive. */
  readonly since?: string
}

export interface CopyImageOptions extends RateOption {
  /** `os[/architecture[/variant]]` each: one gives its image, several their index, `all` the index as it is. Default this machine's. */
  readonly platforms?: readonly string[] | 'all'
  /** Rejects with `conflict` where the copy would not have the digest of what is copied. */
  readonly preserveDigests?: boolean
}

export interface CopiedImage {
  /** Of the manifest or index, at the destination. */
  readonly manifestDigest: string
}

export interface ImageListOptions {
  /** With images that are only parents of others, or other platforms of one. */
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
  /** Whether it is here only as one of the platforms of an index that is kept under a name; lists leave it out. */
  readonly isPart: boolean
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
