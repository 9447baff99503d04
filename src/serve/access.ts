import { readFile } from 'node:fs/promises'
import { BlockList, isIP, isIPv4 } from 'node:net'
import type { IncomingMessage } from 'node:http'
import { StrataError, systemError } from '../base/index.ts'
import { isLocalName, isLoopbackAddress, type ListenAddress } from './listenAddress.ts'
import type { ServeOptions } from './options.ts'
import { type Passwords, readPasswords } from './passwords.ts'
import { RegistryError } from './registryError.ts'

const LOOPBACK = ['127.0.0.0/8', '::1']

/** Who may do what. */
export interface Access {
  /** Whether an address may connect at all. */
  admits(address: string): boolean
  /**
   * The user of a request, undefined where nobody signs in.
   *
   * Rejects with a RegistryError: 401 without the right credentials, 403 for what a browser may have been tricked into.
   */
  userOf(request: IncomingMessage): Promise<string | undefined>
  /** @throws RegistryError 403 when the user may only pull */
  checkMayPush(user: string | undefined): void
}

/**
 * Puts the access list together, and refuses what would let strangers in: an address that others can reach needs
 * `allow` or passwords, and passwords go there by TLS only.
 *
 * Rejects with `invalidArgument`: STRATA_SERVE_UNPROTECTED, STRATA_SERVE_PASSWORDS_IN_PLAIN, STRATA_NETWORK_INVALID, …
 */
export async function openAccess(listen: ListenAddress, options: ServeOptions): Promise<Access> {
  const isLocal = isLoopbackAddress(listen.host)
  const passwords = options.htpasswd === undefined ? undefined : await passwordsOf(options.htpasswd)
  if (!isLocal && options.allow === undefined && passwords === undefined) {
    throw new StrataError(
      'invalidArgument',
      'STRATA_SERVE_UNPROTECTED',
      `Cannot serve on ${listen.host}: anybody who can reach this machine could pull its images`,
      { hint: 'Say who may connect with --allow NETWORK, or who may sign in with --htpasswd FILE.' },
    )
  }
  if (!isLocal && passwords !== undefined && options.tls === undefined) {
    throw new StrataError(
      'invalidArgument',
      'STRATA_SERVE_PASSWORDS_IN_PLAIN',
      `Cannot serve with passwords on ${listen.host}: without TLS they would cross the network in plain text`,
      { hint: 'Give --tls-cert and --tls-key, or listen on 127.0.0.1 behind a proxy that speaks TLS.' },
    )
  }
  checkPushUsers(options, passwords)
  const networks = options.allow ?? (isLocal ? LOOPBACK : ['0.0.0.0/0', '::/0'])
  return new AccessList(networksOf(networks), {
    passwords,
    pushUsers: options.pushUsers === undefined ? undefined : new Set(options.pushUsers),
    // By TLS a browser finds out for itself that this is not the site whose name it has.
    checksHost: passwords === undefined && (isLocal || options.tls === undefined),
  })
}

async function passwordsOf(path: string): Promise<Passwords> {
  try {
    return readPasswords(await readFile(path, 'utf8'))
  } catch (error) {
    throw systemError(`read "${path}"`, error)
  }
}

function checkPushUsers({ pushUsers = [] }: ServeOptions, passwords: Passwords | undefined): void {
  const stranger = pushUsers.find(user => passwords?.knows(user) !== true)
  if (stranger === undefined) return
  const state = passwords === undefined ? 'there is no --htpasswd' : 'the htpasswd file has no such user'
  throw new StrataError('invalidArgument', 'STRATA_NO_SUCH_USER', `Cannot let "${stranger}" push: ${state}`)
}

/** Addresses and networks: `10.1.2.3`, `10.0.0.0/8`, `fd00::/8`. */
function networksOf(texts: readonly string[]): BlockList {
  const networks = new BlockList()
  for (const text of texts) {
    const [, address = '', digits] = /^([^/]+)(?:\/(\d{1,3}))?$/.exec(text) ?? []
    const family = isIP(address)
    const bits = family === 4 ? 32 : 128
    const prefix = digits === undefined ? bits : Number(digits)
    if (family === 0 || prefix > bits) {
      throw new StrataError(
        'invalidArgument',
        'STRATA_NETWORK_INVALID',
        `Cannot allow ${JSON.stringify(text.slice(0, 100))}: it is no IP network`,
        {
          hint: 'Write 192.168.1.0/24, or the address of one machine.',
        },
      )
    }
    networks.addSubnet(address, prefix, family === 4 ? 'ipv4' : 'ipv6')
  }
  return networks
}

interface Rights {
  readonly passwords: Passwords | undefined
  readonly pushUsers: ReadonlySet<string> | undefined
  /** Whether only names are answered to that no stranger can have. */
  readonly checksHost: boolean
}

class AccessList implements Access {
  readonly #networks: BlockList
  readonly #rights: Rights

  constructor(networks: BlockList, rights: Rights) {
    this.#networks = networks
    this.#rights = rights
  }

  admits(address: string): boolean {
    const plain = address.replace(/%.*$/, '')
    return this.#networks.check(plain, isIPv4(plain) ? 'ipv4' : 'ipv6')
  }

  async userOf(request: IncomingMessage): Promise<string | undefined> {
    this.#refuseBrowsers(request)
    const { passwords } = this.#rights
    if (passwords === undefined) return undefined
    const user = await passwords.userOf(request.headers.authorization)
    if (user !== undefined) return user
    throw new RegistryError('UNAUTHORIZED', 'sign in first', { headers: { 'www-authenticate': 'Basic realm="Strata", charset="UTF-8"' } })
  }

  checkMayPush(user: string | undefined): void {
    const { pushUsers } = this.#rights
    if (pushUsers !== undefined && (user === undefined || !pushUsers.has(user)))
      throw new RegistryError('DENIED', 'this user may only pull')
  }

  /**
   * A page in a browser on a machine that may connect can send requests here, too. No client of registries names an
   * origin; and a page that has made its own name stand for this server's address is known by that name.
   */
  #refuseBrowsers({ headers }: IncomingMessage): void {
    const isOurs = !this.#rights.checksHost || isLocalName(headers.host ?? '')
    if (headers.origin !== undefined) throw new RegistryError('DENIED', 'this registry is not for web pages')
    if (!isOurs) throw new RegistryError('DENIED', 'this registry does not go by that name: use its address')
  }
}
