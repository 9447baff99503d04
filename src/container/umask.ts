/** What dockerd works with. */
const UMASK = 0o022

/**
 * Makes files that are a container's, not the caller's: the umask of whoever calls says nothing of
 * them. `work` is synchronous, so that nothing else of this process makes files meanwhile.
 */
export function withContainerUmask<T>(work: () => T): T {
  const before = process.umask(UMASK)
  try {
    return work()
  } finally {
    process.umask(before)
  }
}
