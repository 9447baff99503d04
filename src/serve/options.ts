import type { Logger } from '../base/index.ts'
import type { DiskContentStore } from '../content/index.ts'
import type { ImageFacts, ImageStore } from '../image/index.ts'
import type { LayerStore } from '../layers/index.ts'
import type { Leases, Metadata } from '../metadata/index.ts'
import type { Descriptor, Digest, Platform, Reference } from '../oci/index.ts'
import type { ConnectOptions } from '../registry/index.ts'
import type { Snapshotter } from '../snapshot/index.ts'
import type { HiddenName } from './servedNames.ts'

export interface ServeOptions {
  /** `ADDR:PORT` or `:PORT`; port 0 is any free one. Default `127.0.0.1:5000`. */
  readonly listen?: string
  /** Clients may also push and delete. */
  readonly writable?: boolean
  /** A registry (`docker.io`, `127.0.0.1:5001`) of which this one is a cache: what is not here is fetched from there and kept. */
  readonly upstream?: string
  /**
   * Who may connect: IP addresses and networks (`192.168.1.0/24`). Default: this machine where only it can reach the
   * listening address, and everybody else where there are passwords.
   */
  readonly allow?: readonly string[]
  /** Path of a file of `name:bcrypt-hash` lines, as `htpasswd -B` writes it: clients must sign in. */
  readonly htpasswd?: string
  /** With `writable`: the users of `htpasswd` who may push and delete; all of them without it. */
  readonly pushUsers?: readonly string[]
  /** Paths of PEM files: the server's certificate with its chain, and its key. */
  readonly tls?: { readonly certificate: string; readonly key: string }
  /** Told of each request when its answer has ended. */
  readonly onRequest?: (request: ServedRequest) => void
  /** Told which names clients cannot see, whenever that changes after the start. */
  readonly onHidden?: (hidden: readonly HiddenName[]) => void
}

/** One request, for a log. No credentials are in it. */
export interface ServedRequest {
  readonly client: string
  readonly user: string | undefined
  readonly method: string
  /** Path and query, printable. */
  readonly url: string
  /** Undefined where the client went before anything of an answer was sent. */
  readonly status: number | undefined
  /** Bytes that were sent, head and all; fewer than announced where the connection was cut. */
  readonly bytes: number
  readonly durationMs: number
}

/** A registry that runs. */
export interface RegistryServer extends AsyncDisposable {
  /** `127.0.0.1:5000`, with the port that was chosen. */
  readonly address: string
  readonly url: URL
  /** Names of the store that clients cannot see, because another one has their place. */
  readonly hidden: readonly HiddenName[]
  /**
   * Accepts no more, lets the transfers that are under way end for some seconds, cuts the others, and resolves when all is
   * closed. What clients have uploaded in part can be gone on with at the next server of this store for a day.
   */
  close(): Promise<void>
}

/** What a name of a registry stands for, to be recorded with the images that came with it. */
interface NewRoot {
  readonly reference: Reference
  /** Whether clients pushed it here; else it comes from the upstream registry. */
  readonly isPushed?: boolean
  readonly root: Descriptor
  readonly repositoryDigest: Digest
  readonly images: readonly { readonly facts: ImageFacts }[]
  readonly chosen: { readonly facts: ImageFacts } | undefined
  readonly isCached?: boolean
  readonly referrers: readonly []
}

/** The stores that are served. */
export interface ServedStores {
  readonly metadata: Metadata
  readonly leases: Leases
  readonly content: DiskContentStore
  readonly layers: LayerStore
  readonly images: ImageStore
  snapshots(): Promise<Snapshotter | undefined>
  /** Changes names in one transaction; what else shows them follows. */
  changeImages<Result>(work: () => Result): Result
  recordRoot(root: NewRoot): boolean
}

/** Everything that the parts of a server share. */
export interface ServeContext {
  readonly stores: ServedStores
  readonly options: ServeOptions
  readonly logger: Logger
  /** What this machine runs: images for it are unpacked. */
  readonly platform: Platform
  /** Where it is written how the upstream registry is reached: credentials, mirrors, certificates. */
  readonly access: Pick<ConnectOptions, 'configDirectory' | 'systemDirectory' | 'userConfigDirectory'>
}
