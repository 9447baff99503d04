import type { HealthcheckJson, KeySet, StringMap } from '../container/index.ts'

/**
 * What `docker image inspect` prints: names and nesting of ImageInspect in the Docker Engine API
 * (v1.51), because people's scripts depend on them.
 */
export interface ImageInspect {
  readonly Id: string
  readonly RepoTags: readonly string[]
  readonly RepoDigests: readonly string[]
  readonly Parent: string
  readonly Comment: string
  /** RFC 3339; absent when the image does not tell. */
  readonly Created?: string
  readonly DockerVersion: string
  readonly Author: string
  readonly Config: ImageConfigJson
  readonly Architecture: string
  readonly Variant?: string
  readonly Os: string
  readonly OsVersion?: string
  /** The sum over layers of file content bytes. */
  readonly Size: number
  /** Data is null while the image is not unpacked. */
  readonly GraphDriver: { readonly Name: string; readonly Data: StringMap | null }
  readonly RootFS: { readonly Type: 'layers'; readonly Layers: readonly string[] }
  readonly Metadata: { readonly LastTagTime: string }
  readonly Descriptor?: { readonly mediaType: string; readonly digest: string; readonly size: number }
}

export interface ImageConfigJson {
  readonly User?: string
  readonly ExposedPorts?: KeySet
  readonly Env?: readonly string[]
  readonly Cmd?: readonly string[] | null
  readonly Healthcheck?: HealthcheckJson
  readonly ArgsEscaped?: boolean
  readonly Volumes?: KeySet | null
  readonly WorkingDir?: string
  readonly Entrypoint?: readonly string[] | null
  readonly OnBuild?: readonly string[] | null
  readonly Labels?: StringMap | null
  readonly StopSignal?: string
  readonly Shell?: readonly string[]
}
