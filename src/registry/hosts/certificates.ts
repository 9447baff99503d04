import { join } from 'node:path'
import type { Trust } from '../trust.ts'

/**
 * What the files of a `certs.d/<host:port>` directory are for, by their names: `*.crt` are authorities, `x.cert` and `x.key`
 * say who we are. A certificate without its key, and a key without its certificate, are nothing. containers-certs.d(5)
 */
export function certificatesIn(directory: string, names: readonly string[]): Omit<Trust, 'skipVerify'> {
  const sorted = names.toSorted()
  const clients = sorted.flatMap(name => {
    const stem = /^(.+)\.cert$/.exec(name)?.[1]
    if (stem === undefined || !names.includes(`${stem}.key`)) return []
    return [{ certificate: join(directory, name), key: join(directory, `${stem}.key`) }]
  })
  return { authorities: sorted.filter(name => name.endsWith('.crt')).map(name => join(directory, name)), clients }
}
