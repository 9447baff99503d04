import { parseNetworkMode } from '../network/index.ts'
import { mountPoints } from './hostConfig.ts'
import { containerSizes, endpointOf, visibleStatus } from './inspectContainer.ts'
import type { Installation } from './installation.ts'
import { containerFilter, portFilter } from './listFilters.ts'
import { commandLine } from './mergedConfig.ts'
import type { ContainerRecord } from './record.ts'
import type { ContainerListOptions, ContainerPort, ContainerSummary } from './requests.ts'
import { refresh } from './settle.ts'

/** The containers, the newest first. Those whose end nobody has noticed are cleaned up after on the way. */
export async function listContainers(installation: Installation, options: ContainerListOptions = {}): Promise<readonly ContainerSummary[]> {
  const records: ContainerRecord[] = []
  for (const each of installation.records.list()) {
    const record = each.state.status === 'creating' ? undefined : await refresh(installation, each)
    if (record !== undefined) records.push(record)
  }
  const isWanted = await containerFilter(installation, options)
  const hasPorts = portFilter(options)
  const found: ContainerSummary[] = []
  for (const record of records) {
    if (found.length === options.limit) break
    if (!isWanted(record)) continue
    const summary = await summarize(installation, record, options.size === true)
    if (hasPorts(summary.ports)) found.push(summary)
  }
  return found
}

async function summarize(installation: Installation, record: ContainerRecord, size: boolean): Promise<ContainerSummary> {
  const { id, name, createdAt, definition, state } = record
  const { image, config, options } = definition
  const mode = parseNetworkMode(options.network ?? '')
  const date = (text: string | undefined): Date | undefined => (text === undefined ? undefined : new Date(text))
  return {
    id,
    name,
    image: (await installation.findImage(image.name).catch(() => undefined))?.id === image.id ? image.name : image.id,
    imageId: image.id,
    command: commandLine(config).join(' '),
    createdAt,
    status: visibleStatus(record),
    exitCode: state.exitCode,
    startedAt: date(state.startedAt),
    finishedAt: date(state.finishedAt),
    health: undefined,
    ports: await portsOf(installation, record),
    labels: config.Labels,
    mounts: mountPoints(definition, installation.paths),
    networks: mode.kind === 'container' ? [] : [mode.kind === 'network' ? mode.name : mode.kind],
    platform: image.platform,
    ...(size ? await containerSizes(installation, record) : {}),
  }
}

/** Published ports of a running container, and the exposed ones that are not published. */
async function portsOf(installation: Installation, record: ContainerRecord): Promise<readonly ContainerPort[]> {
  const endpoint = await endpointOf(installation, record)
  if (endpoint === undefined) return []
  const published = new Set(endpoint.ports.map(({ containerPort, protocol }) => `${containerPort}/${protocol}`))
  const exposed = Object.keys(record.definition.config.ExposedPorts ?? {}).filter(port => !published.has(port))
  return [
    ...endpoint.ports,
    ...exposed.map((text): ContainerPort => {
      const [port = '', protocol = ''] = text.split('/')
      return { containerPort: Number(port), protocol: protocol as ContainerPort['protocol'] }
    }),
  ]
}
