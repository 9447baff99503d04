import type { Command } from '../measure/measure.ts'

/** In the order of the table; `strata` is what the others are compared with. */
export const CONTENDERS = ['strata', 'strata-nofsync', 'strata-overlay2', 'dockerd', 'podman', 'ctr', 'skopeo', 'floor'] as const

export type ContenderName = (typeof CONTENDERS)[number]

/** The other engines; skopeo has no store, and takes part where it is named. */
export const PEERS: readonly ContenderName[] = ['dockerd', 'podman', 'ctr']

/**
 * What a contender can be told to do, as whole commands. Images are named in full
 * (`docker.io/bench/deb:latest`), archives and output files by their path outside a peers' root.
 */
export interface Verbs {
  /** From a registry on loopback that speaks plain HTTP; ends when the image is unpacked. */
  pull(reference: string): Command
  push(reference: string): Command
  /** A docker-archive, also unpacked. */
  load(archive: string): Command
  save(image: string, file: string): Command
  /** A container without network that is removed at its end. */
  run(image: string, argv: readonly string[]): Command
  images(): Command
  history(image: string): Command
  inspect(image: string): Command
  tag(image: string, reference: string): Command
  /** From one registry on loopback to another, without a store in between. */
  copy(reference: string, to: string): Command
  rmi(image: string): Command
  /** Runs a container that stays when it has ended. */
  change(container: string, image: string, argv: readonly string[]): Command
  commit(container: string, image: string): Command
  /** Starts a container that goes on until it is removed. */
  keep(container: string, image: string): Command
  exec(container: string, argv: readonly string[]): Command
  /** Removes a container, also one that runs. */
  remove(container: string): Command
}

/** A contender's store on one disk, with its daemon where it has one. */
interface Store extends AsyncDisposable {
  /** What it has no verb for is absent. */
  readonly verbs: Partial<Verbs>
}

/** Where a store is to be. */
interface StorePlace {
  /** An empty directory on the disk. */
  readonly directory: string
  /** An empty directory on a memory file system, for sockets and what lives until the next boot. */
  readonly runDirectory: string
  /** Runs a server in the cgroup that is measured. */
  readonly inGroup: (command: Command) => Command
}

export interface Contender {
  readonly name: ContenderName
  /** Names and versions of the programs that take part. */
  versions(): Promise<string>
  open(place: StorePlace): Promise<Store>
}
