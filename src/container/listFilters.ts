import { isStrataError, StrataError } from '../base/index.ts'
import { parseExposedPorts, parseNetworkMode } from '../network/index.ts'
import { visibleStatus } from './inspectContainer.ts'
import type { Installation } from './installation.ts'
import { type ContainerRecord, hasProcess } from './record.ts'
import type { ContainerListOptions, ContainerPort } from './requests.ts'
import { hasLabels } from './volumes.ts'

type Filter = (record: ContainerRecord) => boolean

/** docker's filters on what a record tells. Within one list any will do, labels must all match. */
export async function containerFilter(installation: Installation, options: ContainerListOptions): Promise<Filter> {
  const filters: Filter[] = []
  const add = <T>(value: T | undefined, make: (value: T) => Filter): void => {
    if (value !== undefined) filters.push(make(value))
  }
  const hasAll = options.all === true || options.limit !== undefined || options.statuses !== undefined || options.exitCodes !== undefined
  if (!hasAll) filters.push(({ state }) => hasProcess(state) || state.status === 'restarting')
  add(options.ids, ids => record => ids.some(id => record.id.startsWith(id)))
  add(options.names, names => nameFilter(names))
  add(options.labels, labels => record => hasLabels(record.definition.config.Labels, labels))
  add(options.statuses, statuses => record => statuses.includes(visibleStatus(record)))
  add(
    options.exitCodes,
    codes =>
      ({ state }) =>
        (state.status === 'exited' || state.status === 'dead') && codes.includes(state.exitCode),
  )
  // Health checks are recorded and not run.
  add(options.health, health => () => health.includes('none'))
  add(options.volumes, volumes => record => volumes.some(volume => hasVolume(record, volume)))
  add(options.networks, networks => record => networks.includes(networkName(record)))
  add(options.before, text => olderThan(find(installation, text)))
  add(options.since, text => newerThan(find(installation, text)))
  if (options.ancestors !== undefined) filters.push(await ancestorFilter(installation, options.ancestors))
  return record => filters.every(filter => filter(record))
}

/** Filters on ports, which only the network knows of a running container. */
export function portFilter(options: ContainerListOptions): (ports: readonly ContainerPort[]) => boolean {
  const published = options.published?.flatMap(parseExposedPorts)
  const exposed = options.exposed?.flatMap(parseExposedPorts)
  const name = ({ containerPort, protocol }: ContainerPort): string => `${containerPort}/${protocol}`
  return ports =>
    (published === undefined || ports.some(port => port.hostPort !== undefined && published.includes(name(port)))) &&
    (exposed === undefined || ports.some(port => exposed.includes(name(port))))
}

/** Regular expressions; the name has docker's slash before it. */
function nameFilter(names: readonly string[]): Filter {
  const patterns = names.map(name => {
    try {
      return new RegExp(name)
    } catch (cause) {
      throw new StrataError('invalidArgument', 'STRATA_INVALID_FILTER', `Cannot filter by name "${name}": it is not a regular expression`, {
        cause,
      })
    }
  })
  return ({ name }) => patterns.some(pattern => pattern.test(name) || pattern.test(`/${name}`))
}

function hasVolume({ definition }: ContainerRecord, text: string): boolean {
  return definition.mounts.some(mount => mount.target === text || (mount.type === 'volume' && mount.volume === text))
}

function networkName({ definition }: ContainerRecord): string {
  const mode = parseNetworkMode(definition.options.network ?? '')
  return mode.kind === 'network' ? mode.name : mode.kind
}

function find(installation: Installation, text: string): ContainerRecord {
  return installation.records.find(text)
}

function olderThan(other: ContainerRecord): Filter {
  return record => record.createdAt < other.createdAt
}

function newerThan(other: ContainerRecord): Filter {
  return record => record.createdAt > other.createdAt
}

/** The image itself, or one that its image stands on. An image that is not there has no descendants. */
async function ancestorFilter(installation: Installation, references: readonly string[]): Promise<Filter> {
  const ids = new Set<string>()
  const chains = new Set<string>()
  for (const reference of references) {
    const image = await installation.findImage(reference).catch((error: unknown) => {
      if (isStrataError(error, 'notFound') || isStrataError(error, 'invalidArgument')) return undefined
      throw error
    })
    if (image === undefined) continue
    ids.add(image.id)
    if (image.chainId !== undefined) chains.add(image.chainId)
  }
  const parents = new Map<string, string | undefined>()
  for await (const { name, parent } of installation.snapshots.list()) parents.set(name, parent)
  const standsOn = (chainId: string | undefined): boolean => {
    for (let at = chainId; at !== undefined; at = parents.get(at)) if (chains.has(at)) return true
    return false
  }
  return ({ definition }) => {
    const { id, chainId } = definition.image
    return ids.has(id) || standsOn(chainId)
  }
}
