import type { ContainerSummary, MountPointJson } from '../engine/index.ts'
import { goTime, humanAgo, humanDuration } from './durations.ts'
import type { ShownHow } from './imageListing.ts'
import type { Listing } from './listing.ts'
import { formatPorts } from './ports.ts'
import { humanSize } from './sizes.ts'
import { ellipsis, shortId } from './tables.ts'

const COMMAND_WIDTH = 20
const MOUNT_WIDTH = 15

export function containerListing({ now, whole }: ShownHow, size: boolean): Listing<ContainerSummary> {
  return {
    fields: {
      ID: { header: 'CONTAINER ID', text: ({ id }) => (whole ? id : shortId(id)) },
      Image: {
        header: 'IMAGE',
        text: ({ image }) => (whole || !/^sha256:[\da-f]{64}$|^[\da-f]{64}$/.test(image) ? image : shortId(image)),
      },
      Command: { header: 'COMMAND', text: ({ command }) => JSON.stringify(whole ? command : ellipsis(command, COMMAND_WIDTH)) },
      CreatedAt: { header: 'CREATED AT', text: ({ createdAt }) => goTime(createdAt) },
      RunningFor: { header: 'CREATED', text: ({ createdAt }) => humanAgo(createdAt, now) },
      Status: { header: 'STATUS', text: container => formatStatus(container, now) },
      State: { header: 'STATE', text: ({ status }) => status },
      Ports: { header: 'PORTS', text: ({ ports }) => formatPorts(ports) },
      Names: { header: 'NAMES', text: ({ name }) => name },
      Size: { header: 'SIZE', text: formatSizes },
      Labels: { header: 'LABELS', text: ({ labels }) => formatLabels(labels) },
      Mounts: { header: 'MOUNTS', text: ({ mounts }) => mounts.map(mount => mountName(mount, whole)).join(',') },
      LocalVolumes: { header: 'LOCAL VOLUMES', text: ({ mounts }) => String(mounts.filter(({ Type }) => Type === 'volume').length) },
      Networks: { header: 'NETWORKS', text: ({ networks }) => networks.join(',') },
      Platform: { header: 'PLATFORM', text: ({ platform }) => platform },
    },
    columns: ['ID', 'Image', 'Command', 'RunningFor', 'Status', 'Ports', 'Names', ...(size ? ['Size'] : [])],
    identity: 'ID',
    labels: ({ labels }) => labels,
  }
}

/** `Up 3 seconds (healthy)`, `Exited (137) 2 minutes ago`, `Created`. */
export function formatStatus(container: ContainerSummary, now: Date): string {
  const up = (): string => humanDuration(Math.max(0, now.getTime() - (container.startedAt ?? now).getTime()))
  switch (container.status) {
    case 'running': {
      const { health } = container
      return `Up ${up()}${health === undefined ? '' : health === 'starting' ? ' (health: starting)' : ` (${health})`}`
    }
    case 'paused':
      return `Up ${up()} (Paused)`
    case 'restarting':
      return `Restarting (${container.exitCode}) ${humanAgo(container.finishedAt ?? now, now)}`
    case 'removing':
      return 'Removal In Progress'
    case 'dead':
      return 'Dead'
    case 'created':
      return 'Created'
    default:
      return `Exited (${container.exitCode}) ${humanAgo(container.finishedAt ?? now, now)}`
  }
}

export function formatLabels(labels: Readonly<Record<string, string>>): string {
  return Object.entries(labels)
    .map(([key, value]) => `${key}=${value}`)
    .sort()
    .join(',')
}

function formatSizes({ layerBytes = 0, rootfsBytes = 0 }: ContainerSummary): string {
  return rootfsBytes > 0 ? `${humanSize(layerBytes)} (virtual ${humanSize(rootfsBytes)})` : humanSize(layerBytes)
}

function mountName(mount: MountPointJson, whole: boolean): string {
  const name = mount.Name === undefined || mount.Name === '' ? mount.Source : mount.Name
  return whole ? name : ellipsis(name, MOUNT_WIDTH)
}
