import { readdirSync, readlinkSync, statSync } from 'node:fs'

/** Says of a path whether any process of this machine is in the network namespace that it keeps. */
export function namespacesInUse(): (namespacePath: string) => boolean {
  const used = new Set<string>()
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue
    try {
      used.add(readlinkSync(`/proc/${name}/ns/net`))
    } catch {
      // It ended meanwhile.
    }
  }
  return path => {
    try {
      return used.has(`net:[${statSync(path).ino}]`)
    } catch {
      return false
    }
  }
}
