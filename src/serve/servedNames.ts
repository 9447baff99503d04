import type { NamedRoot } from '../image/index.ts'
import { type Descriptor, type Digest, formatReference, parseReference, type Reference } from '../oci/index.ts'

/** A name that clients cannot see, because another one has its place. Names are canonical: `docker.io/library/x:1`. */
export interface HiddenName {
  readonly name: string
  /** Where it would be: `x:1`. */
  readonly servedAs: string
  /** The name that is there. */
  readonly hiddenBy: string
}

export interface ServedTag {
  readonly name: Reference
  readonly root: Descriptor
}

/** One repository as clients see it. */
export interface ServedRepository {
  readonly tags: ReadonlyMap<string, ServedTag>
  /** What is here under its digest, and the names that say so. */
  readonly digests: ReadonlyMap<Digest, readonly Reference[]>
  /** Indexes that are not here, while an image of them and what is said about them may be. */
  readonly elsewhere: ReadonlySet<Digest>
}

export interface ServedNames {
  readonly repositories: ReadonlyMap<string, ServedRepository>
  readonly hidden: readonly HiddenName[]
  /** What has a name of this very registry with a digest, in any repository: what its clients have pushed. */
  readonly pushed: ReadonlySet<Digest>
}

interface Repository extends ServedRepository {
  readonly tags: Map<string, ServedTag>
  readonly digests: Map<Digest, readonly Reference[]>
  readonly elsewhere: Set<Digest>
}

const DOCKER_HUB = 'docker.io'
const OFFICIAL = 'library/'

/**
 * Gives each name its place: its path without the registry; `docker.io/library/x` is also `x`. Where two names have one
 * place, the first of these wins: a name of this very registry, one that people type without a registry (docker.io),
 * the one that comes first in the alphabet. Two names for the same content hide nothing.
 *
 * @param own the registries that mean this one, the best first
 * @param elsewhere names with the digests of indexes that are not here
 */
export function servedNames(roots: Iterable<NamedRoot>, own: readonly string[], elsewhere: Iterable<string> = []): ServedNames {
  const repositories = new Map<string, Repository>()
  const hidden: HiddenName[] = []
  const pushed = new Set<Digest>()
  const ranked = [...roots].map(each => ({ ...each, reference: parseReference(each.name) }))
  ranked.sort((a, b) => rankOf(a.reference, own) - rankOf(b.reference, own) || (a.name < b.name ? -1 : 1))
  for (const { name, reference, root } of ranked) {
    if (reference.digest !== undefined && own.includes(reference.domain)) pushed.add(reference.digest)
    for (const path of pathsOf(reference)) {
      const repository: Repository = repositories.get(path) ?? { tags: new Map(), digests: new Map(), elsewhere: new Set() }
      repositories.set(path, repository)
      const { tag, digest } = reference
      if (digest !== undefined) repository.digests.set(digest, [...(repository.digests.get(digest) ?? []), reference])
      if (tag === undefined) continue
      const winner = repository.tags.get(tag)
      if (winner === undefined) repository.tags.set(tag, { name: reference, root })
      else if (winner.root.digest !== root.digest) hidden.push({ name, servedAs: `${path}:${tag}`, hiddenBy: formatReference(winner.name) })
    }
  }
  for (const reference of [...elsewhere].map(each => parseReference(each)))
    for (const path of pathsOf(reference)) repositories.get(path)?.elsewhere.add(reference.digest!)
  return { repositories, hidden, pushed }
}

function pathsOf({ domain, path }: Reference): readonly string[] {
  return domain === DOCKER_HUB && path.startsWith(OFFICIAL) ? [path, path.slice(OFFICIAL.length)] : [path]
}

function rankOf({ domain }: Reference, own: readonly string[]): number {
  const position = own.indexOf(domain)
  if (position !== -1) return position
  return domain === DOCKER_HUB ? own.length : own.length + 1
}
