/** How control groups are mounted on this machine: `hybrid` is version 1 with a version 2 tree beside it. */
export type CgroupLayout = 'v1' | 'hybrid' | 'v2' | 'none'

export interface CgroupFacts {
  readonly layout: CgroupLayout
  /** Controllers that can limit a container: `memory`, `cpu`, `pids`, `cpuset`, … */
  readonly controllers: readonly string[]
  /** The limit of memory and swap together can be set. */
  readonly swapLimit: boolean
  /** Where the version 2 tree of a hybrid layout is, if it has controllers of its own (crun refuses it then). */
  readonly refusedUnified?: string
}
