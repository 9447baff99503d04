import { BlockList, isIP } from 'node:net'
import { ConfigTable } from './configTable.ts'

/*
 * docker's daemon.json: docs.docker.com/reference/cli/dockerd, "registry-mirrors" and "insecure-registries".
 */

export interface DaemonJson {
  /** Mirrors of Docker Hub: where their API is, each ending in `/v2/`. */
  readonly mirrors: readonly URL[]
  readonly insecure: InsecureRegistries
}

/** The content of a file. @param document its parsed JSON @throws StrataError STRATA_CONFIG_INVALID */
export function daemonJsonOf(document: unknown, file: string): DaemonJson {
  const root = ConfigTable.of(document, file)
  const mirrors = root.texts('registry-mirrors').map(text => {
    const url = URL.canParse(text) ? new URL(text) : undefined
    if (url === undefined || !/^https?:$/.test(url.protocol) || url.search !== '' || url.hash !== '' || url.username !== '')
      throw root.invalid('registry-mirrors', 'has something else than http and https URLs')
    return new URL(`${url.href.replace(/\/+$/, '')}/v2/`)
  })
  return { mirrors, insecure: new InsecureRegistries(root.texts('insecure-registries')) }
}

/** The registries that may be spoken to without verified TLS: hosts with their ports, and networks. */
export class InsecureRegistries {
  readonly #hosts = new Set<string>()
  readonly #networks = new BlockList()
  /** Whether addresses matter, so that names have to be looked up. */
  readonly hasNetworks: boolean

  constructor(entries: readonly string[]) {
    let networks = 0
    for (const entry of entries) {
      const [, address = '', bits = ''] = /^([0-9a-fA-F.:]+)\/(\d{1,3})$/.exec(entry) ?? []
      const version = isIP(address)
      if (version !== 0 && Number(bits) <= (version === 4 ? 32 : 128)) {
        this.#networks.addSubnet(address, Number(bits), version === 4 ? 'ipv4' : 'ipv6')
        networks += 1
      } else
        this.#hosts.add(
          entry
            .replace(/^https?:\/\//, '')
            .replace(/\/+$/, '')
            .toLowerCase(),
        )
    }
    this.hasNetworks = networks > 0
  }

  /** @param host with its port, as references have it: `10.0.0.1:5000` */
  hasHost(host: string): boolean {
    return this.#hosts.has(host.toLowerCase())
  }

  /** @param address an IPv4 or IPv6 address */
  hasAddress(address: string): boolean {
    const version = isIP(address)
    return version !== 0 && this.#networks.check(address, version === 4 ? 'ipv4' : 'ipv6')
  }
}
