import { StrataError } from '../base/index.ts'
import { parseNetworkMode } from '../network/index.ts'
import type { ContainerOptions } from './options.ts'

/**
 * Refuses what cannot be together: a container in the network of another one has that one's names,
 * addresses and ports. Throws `invalidArgument` (STRATA_CONFLICTING_OPTIONS), in docker's words.
 *
 * @returns warnings of what is left out
 */
export function checkNetworkOptions(options: ContainerOptions): readonly string[] {
  const { kind } = parseNetworkMode(options.network ?? '')
  const publishes = options.publishAll === true || isSome(options.publish)
  if (options.uts === 'host' && options.hostname !== undefined) throw conflicting('hostname and the UTS mode')
  if (kind === 'host' && publishes) return ['Published ports are discarded when using host network mode']
  if (kind !== 'container') return []
  if (options.hostname !== undefined) throw conflicting('hostname and the network mode')
  if (isSome(options.dnsServers)) throw conflicting('dns and the network mode')
  if (isSome(options.extraHosts)) throw conflicting('custom host-to-IP mapping and the network mode')
  if (options.macAddress !== undefined) throw conflicting('mac-address and the network mode')
  if (publishes) throw conflicting('port publishing and the container type network mode')
  if (isSome(options.expose)) throw conflicting('port exposing and the container type network mode')
  return []
}

function isSome(list: readonly unknown[] | undefined): boolean {
  return list !== undefined && list.length > 0
}

function conflicting(what: string): StrataError {
  return new StrataError('invalidArgument', 'STRATA_CONFLICTING_OPTIONS', `Cannot create the container: conflicting options: ${what}`)
}
