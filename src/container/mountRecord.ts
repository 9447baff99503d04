import type { MountOptions, StringMap } from './options.ts'

export type Propagation = NonNullable<NonNullable<MountOptions['bind']>['propagation']>

interface Placed {
  /** A normalized absolute path of the container, not `/`. */
  readonly target: string
  readonly readOnly: boolean
  /** Asked for by `--mount` (or `-v` or `--tmpfs` otherwise): `inspect` shows it in another place. */
  readonly asMount: boolean
}

export interface BindMount extends Placed {
  readonly type: 'bind'
  /** An absolute path of the host. */
  readonly source: string
  /** Makes a missing source directory. */
  readonly createSource: boolean
  readonly propagation: Propagation
  readonly recursive: boolean
  /** The words after the last colon of `-v`. */
  readonly mode: string
}

export interface VolumeMount extends Placed {
  readonly type: 'volume'
  readonly volume: string
  /** Made for this container; removed with it by `rm -v` and `--rm`. */
  readonly anonymous: boolean
  /** Fills an empty volume with what the image has at the target. */
  readonly copyUp: boolean
  readonly subpath?: string
  /** What a volume that is not there yet is made with. */
  readonly labels?: StringMap
  readonly driverOptions?: StringMap
  readonly mode: string
}

export interface TmpfsMount extends Placed {
  readonly type: 'tmpfs'
  /** mount(8) words. */
  readonly options: readonly string[]
}

/** A mount of a user, resolved: nothing about it depends on the time of the start. */
export type MountRecord = BindMount | VolumeMount | TmpfsMount
