import type { Leases, Resource } from './leases.ts'
import type { Metadata } from './metadata.ts'
import { withReserve } from './reserve.ts'

/** One kind of thing that a collection may remove. All but `destroy` run inside the transaction of the collection. */
export interface Collectable {
  readonly kind: string
  /** Every id of this kind: those with a record, and those of which a crash left only files. */
  list(): Iterable<string>
  /** What this thing needs. Things that do not exist may be named. */
  references(id: string): Iterable<Resource>
  /** Deletes the record, if there is one. Files stay: a record that is gone for good comes before files that are gone. */
  drop(id: string): void
  /**
   * Removes the files. Runs after the commit, so the thing may have come back in between: look for its record
   * inside a transaction and move the files into the trash there, unless ids are never used again.
   */
  destroy?(id: string): Promise<void>
}

export interface CollectOptions {
  readonly metadata: Metadata
  readonly leases: Leases
  readonly kinds: readonly Collectable[]
  /** What users named: images, containers. Asked inside the transaction. */
  readonly roots: () => Iterable<Resource>
}

/**
 * Removes everything that neither a root nor a lease reaches, and gives what it removed.
 *
 * One transaction marks and deletes records, so it sees all of what others have done or nothing of it:
 * who makes something holds it with a lease, then looks in a transaction whether it is there. Files
 * go after the commit. A crash leaves files without a record, which the next collection lists again.
 */
export async function collect(options: CollectOptions): Promise<readonly Resource[]> {
  const { metadata, leases } = options
  const kinds = new Map(options.kinds.map(kind => [kind.kind, kind]))
  const unreached = (): readonly Resource[] => {
    leases.expire()
    const reached = mark(kinds, [...options.roots(), ...leases.resources()])
    return [...kinds.values()].flatMap(kind =>
      [...kind.list()].filter(id => !reached.has(keyOf({ kind: kind.kind, id }))).map(id => ({ kind: kind.kind, id })),
    )
  }
  const drop = (): readonly Resource[] => {
    const garbage = unreached()
    for (const { kind, id } of garbage) kinds.get(kind)?.drop(id)
    return garbage
  }
  const dropped = withReserve(metadata, () => metadata.transaction(drop))
  for (const { kind, id } of dropped) await kinds.get(kind)?.destroy?.(id)
  return dropped
}

function mark(kinds: ReadonlyMap<string, Collectable>, roots: readonly Resource[]): ReadonlySet<string> {
  const reached = new Set<string>()
  const pending = [...roots]
  for (let resource = pending.pop(); resource !== undefined; resource = pending.pop()) {
    const key = keyOf(resource)
    if (reached.has(key)) continue
    reached.add(key)
    const kind = kinds.get(resource.kind)
    if (kind !== undefined) pending.push(...kind.references(resource.id))
  }
  return reached
}

function keyOf(resource: Resource): string {
  return `${resource.kind}\0${resource.id}`
}
