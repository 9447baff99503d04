import { readdir, readFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { errnoOf, StrataError, systemError } from '../../base/index.ts'
import type { Trust } from '../trust.ts'
import { certificatesIn } from './certificates.ts'
import { configInvalid } from './configTable.ts'
import { type DaemonJson, daemonJsonOf, InsecureRegistries } from './daemonJson.ts'
import { type HostsToml, hostsTomlOf } from './hostsToml.ts'
import { mergeRegistriesConf, type RegistriesConf, registriesConfOf } from './registriesConf.ts'

/** Where it is written how registries are reached. */
export interface RegistryEnvironment {
  /** `/etc`, but for tests. */
  readonly systemDirectory: string
  /** The user's configuration: `~/.config`. */
  readonly userConfigDirectory: string
  /** `CONTAINERS_REGISTRIES_CONF`, `HTTPS_PROXY` and its like. */
  readonly variables: Readonly<Record<string, string | undefined>>
}

/** The machine's and the user's own, where nothing else is asked for. */
export function registryEnvironment(asked: Partial<RegistryEnvironment>): RegistryEnvironment {
  const { systemDirectory = '/etc', variables = process.env } = asked
  const userConfigDirectory = asked.userConfigDirectory ?? (variables['XDG_CONFIG_HOME'] || join(homedir(), '.config'))
  return { systemDirectory, userConfigDirectory, variables }
}

/** Far more than anybody writes by hand. */
const MAX_FILE_BYTES = 1024 * 1024
const MAX_FILES = 1000

/** The configuration files of containers, containerd and docker, read when they are asked for, and those of all registries once. */
export class ConfigFiles {
  readonly #environment: RegistryEnvironment
  #registriesConf: Promise<RegistriesConf> | undefined
  #daemonJson: Promise<DaemonJson> | undefined

  constructor(environment: RegistryEnvironment) {
    this.#environment = environment
  }

  /**
   * registries.conf and its drop-ins. The variable names the one main file; else the user's takes the place of the
   * system's, and then only the user's drop-ins count. containers-registries.conf(5), containers-registries.conf.d(5)
   */
  registriesConf(): Promise<RegistriesConf> {
    return (this.#registriesConf ??= this.#readRegistriesConf())
  }

  /** containerd's file for a registry, in the order in which it looks: `host_port_`, `host:port`, `_default`. containerd docs/hosts.md "Port Handling" */
  async hostsToml(domain: string): Promise<HostsToml | undefined> {
    for (const name of new Set([domain.replace(/:(\d+)$/, '_$1_'), domain, '_default'])) {
      const file = this.#system('containerd/certs.d', name, 'hosts.toml')
      const document = await readToml(file)
      if (document !== undefined) return hostsTomlOf(document, file)
    }
    return undefined
  }

  daemonJson(): Promise<DaemonJson> {
    return (this.#daemonJson ??= this.#readDaemonJson())
  }

  /**
   * The certificates that are kept for a host, from the first directory that there is for it. containers-certs.d(5);
   * docs.docker.com/engine/security/certificates; containerd docs/hosts.md "Support for Docker's Certificate File Pattern"
   *
   * @param host with its port where it has one
   */
  async certificates(host: string): Promise<Omit<Trust, 'skipVerify'>> {
    const directories = [
      join(this.#environment.userConfigDirectory, 'containers/certs.d', host),
      this.#system('containers/certs.d', host),
      this.#system('docker/certs.d', host),
      this.#system('containerd/certs.d', host.replace(/:(\d+)$/, '_$1_')),
      this.#system('containerd/certs.d', host),
    ]
    for (const directory of directories) {
      const names = await namesIn(directory)
      const found = certificatesIn(directory, names)
      if (found.authorities.length + found.clients.length > 0) return found
    }
    return { authorities: [], clients: [] }
  }

  async #readRegistriesConf(): Promise<RegistriesConf> {
    const { variables, userConfigDirectory } = this.#environment
    const system = this.#system('containers')
    const user = join(userConfigDirectory, 'containers')
    const named = variables['CONTAINERS_REGISTRIES_CONF'] || undefined
    const main = await readToml(named ?? join(user, 'registries.conf'))
    if (named !== undefined && main === undefined)
      throw new StrataError(
        'notFound',
        'STRATA_CONFIG_INVALID',
        `Cannot read "${named}", which $CONTAINERS_REGISTRIES_CONF names: no such file`,
      )
    const isUsers = named === undefined && main !== undefined
    const files = [
      named ?? (isUsers ? join(user, 'registries.conf') : join(system, 'registries.conf')),
      ...(isUsers ? [] : await dropIns(join(system, 'registries.conf.d'))),
      ...(await dropIns(join(user, 'registries.conf.d'))),
    ]
    const documents = await Promise.all(files.map(async file => ({ file, document: await readToml(file) })))
    return mergeRegistriesConf(documents.map(({ file, document }) => registriesConfOf(document ?? {}, file)))
  }

  async #readDaemonJson(): Promise<DaemonJson> {
    const file = this.#system('docker/daemon.json')
    const text = await readText(file)
    if (text === undefined || text.trim() === '') return { mirrors: [], insecure: new InsecureRegistries([]) }
    let document: unknown
    try {
      document = JSON.parse(text)
    } catch (cause) {
      throw configInvalid(file, 'it is not JSON', cause)
    }
    return daemonJsonOf(document, file)
  }

  #system(...names: readonly string[]): string {
    return join(this.#environment.systemDirectory, ...names)
  }
}

async function dropIns(directory: string): Promise<readonly string[]> {
  const names = (await namesIn(directory)).filter(name => name.endsWith('.conf')).sort()
  if (names.length > MAX_FILES) throw configInvalid(directory, `it has more than ${MAX_FILES} files`)
  return names.map(name => join(directory, name))
}

/** Empty for a directory that is not there. */
async function namesIn(directory: string): Promise<readonly string[]> {
  try {
    return await readdir(directory)
  } catch (error) {
    if (errnoOf(error) === 'ENOENT' || errnoOf(error) === 'ENOTDIR') return []
    throw systemError(`list "${directory}"`, error)
  }
}

async function readText(file: string): Promise<string | undefined> {
  try {
    const bytes = await readFile(file)
    if (bytes.length > MAX_FILE_BYTES) throw configInvalid(file, `it has more than ${MAX_FILE_BYTES} bytes`)
    return bytes.toString()
  } catch (error) {
    if (errnoOf(error) === 'ENOENT' || errnoOf(error) === 'ENOTDIR' || errnoOf(error) === 'EISDIR') return undefined
    throw systemError(`read "${file}"`, error)
  }
}

/** The parsed content; undefined where there is no file. What only has comments does not load the library. */
async function readToml(file: string): Promise<unknown> {
  const text = await readText(file)
  if (text === undefined) return undefined
  if (/^\s*(?:#[^\n]*\s*)*$/.test(text)) return {}
  const { parse } = await import('smol-toml')
  try {
    return parse(text)
  } catch (cause) {
    const line = (cause as { readonly line?: number }).line
    throw configInvalid(file, `${line === undefined ? 'it' : `line ${line}`} is not TOML`, cause)
  }
}
