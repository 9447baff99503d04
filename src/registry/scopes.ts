/** As many scopes as one token may be asked for: what a registry lists past that is left out. */
const MAX_SCOPES = 16

/**
 * The scopes of several lists as one, each resource once, with all its actions in the order in which they come:
 * `repository:app:pull` and `repository:app:push` are `repository:app:pull,push`. What is no scope is left out.
 * distribution/distribution docs/spec/auth/scope.md "Resource Scope Grammar"
 */
export function unionScopes(...lists: readonly (readonly string[])[]): readonly string[] {
  const actions = new Map<string, Set<string>>()
  for (const scope of lists.flat()) {
    // The resource may have a colon of its own: the port of a host name.
    const [, resource, listed] = /^([a-z]+(?:\([a-z]+\))?:[^\s"]+):([a-z*,]+)$/.exec(scope) ?? []
    if (resource === undefined || listed === undefined || (!actions.has(resource) && actions.size === MAX_SCOPES)) continue
    const known = actions.get(resource) ?? new Set()
    for (const action of listed.split(',')) if (action !== '') known.add(action)
    if (known.size > 0) actions.set(resource, known)
  }
  return Array.from(actions, ([resource, known]) => `${resource}:${[...known].join(',')}`)
}

/** What a request needs besides the repository that it is about: the source of a blob that is mounted. distribution-spec "Mounting a blob from another repository" */
export function scopesOfRequest({ searchParams }: URL): readonly string[] {
  const from = searchParams.get('from')
  return from === null || !searchParams.has('mount') ? [] : [`repository:${from}:pull`]
}
