import type { StringMap } from './options.ts'

/** A volume as `docker volume inspect` prints it (Volume in the Docker Engine API, v1.51). */
export interface VolumeInspect {
  readonly CreatedAt: string
  readonly Driver: string
  readonly Labels: StringMap | null
  readonly Mountpoint: string
  readonly Name: string
  readonly Options: StringMap | null
  readonly Scope: 'local'
  /** Only in `diskUsage()`; -1 is unknown. */
  readonly UsageData?: { readonly Size: number; readonly RefCount: number }
}

export interface VolumeOptions {
  /** Without a name the volume is anonymous: 64 hexadecimal digits. */
  readonly name?: string
  /** Default and only driver: `local`. */
  readonly driver?: string
  readonly driverOptions?: StringMap
  readonly labels?: StringMap
}

export interface VolumeListOptions {
  /** Of which one is part of the volume's name. */
  readonly names?: readonly string[]
  /** `key` or `key=value`, all of which it has. */
  readonly labels?: readonly string[]
  readonly drivers?: readonly string[]
  /** true: only those that no container has. */
  readonly dangling?: boolean
}

export interface VolumePruneOptions {
  readonly all?: boolean
  readonly labels?: readonly string[]
  readonly labelsAbsent?: readonly string[]
}
