import type { Trust } from '../trust.ts'

/** What a host is trusted to do: give what a digest names, say what a tag stands for, take images. containerd docs/hosts.md "capabilities field" */
export type Capability = 'pull' | 'resolve' | 'push'

export const CAPABILITIES: ReadonlySet<Capability> = new Set<Capability>(['pull', 'resolve', 'push'])

/** One place where a repository can be had: the registry itself, or a mirror of it. */
export interface RegistryHost {
  /** Whose credentials it is asked with: `docker.io`, `mirror.example:5000`. */
  readonly name: string
  /** Where its API is, each ending in `/`; the first that answers is used. */
  readonly bases: readonly [URL, ...(readonly URL[])]
  /** The repository's path there. */
  readonly path: string
  readonly capabilities: ReadonlySet<Capability>
  readonly trust: Trust
  /** Sent to this host with every request, and to no other. */
  readonly headers: Readonly<Record<string, string>>
  /** The registry that it is asked on behalf of, where it wants to know that: the query parameter `ns`. */
  readonly namespace: string | undefined
  readonly isMirror: boolean
  readonly connectTimeoutMs: number | undefined
}
