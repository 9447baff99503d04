import type { DiskUsage } from '../../engine/index.ts'
import { defineCommand, type Command } from '../command.ts'
import { containerListing } from '../containerListing.ts'
import { imageListing, imageRows } from '../imageListing.ts'
import { formatListing, formatOption, type Listing, printListing } from '../listing.ts'
import { flag } from '../options.ts'
import { humanSize } from '../sizes.ts'

interface UsageRow {
  readonly type: string
  readonly total: number
  readonly active: number
  readonly bytes: number
  readonly reclaimableBytes: number
}

const LISTING: Listing<UsageRow> = {
  fields: {
    Type: { header: 'TYPE', text: row => row.type },
    TotalCount: { header: 'TOTAL', text: row => String(row.total) },
    Active: { header: 'ACTIVE', text: row => String(row.active) },
    Size: { header: 'SIZE', text: row => humanSize(row.bytes, 4) },
    Reclaimable: {
      header: 'RECLAIMABLE',
      text: ({ bytes, reclaimableBytes }) => {
        const share = bytes > 0 ? ` (${Math.floor((reclaimableBytes / bytes) * 100)}%)` : ''
        return humanSize(reclaimableBytes, 4) + share
      },
    },
  },
  columns: ['Type', 'TotalCount', 'Active', 'Size', 'Reclaimable'],
}

export const command: Command = defineCommand({
  usage: '[OPTIONS]',
  options: { format: formatOption(), verbose: flag('Every image, container and volume', { short: 'v' }) },
  operands: [0, 0],
  async run(invocation, { format, verbose }) {
    const usage = await (await invocation.engine()).diskUsage()
    if (verbose && format === undefined) invocation.print(await detailed(usage, invocation.surroundings.now()))
    else await printListing(invocation, LISTING, usageRows(usage), { format })
    return 0
  },
})

function usageRows({ images, layersBytes, interruptedBytes, containers, volumes, cache }: DiskUsage): readonly UsageRow[] {
  const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0)
  const activeImages = images.filter(image => (image.containers ?? 0) > 0)
  const activeContainers = containers.filter(({ status }) => status === 'running' || status === 'paused' || status === 'restarting')
  const activeVolumes = volumes.filter(({ UsageData: usage }) => (usage?.RefCount ?? 0) > 0)
  const containerBytes = sum(containers.map(({ layerBytes = 0 }) => layerBytes))
  const volumeBytes = (of: DiskUsage['volumes']): number => sum(of.map(({ UsageData: usage }) => Math.max(0, usage?.Size ?? 0)))
  // What only idle images have: the part of an image that others share stays as long as one of them does.
  const imagesUsed =
    sum(activeImages.map(({ sizeBytes, sharedBytes = 0 }) => sizeBytes - sharedBytes)) +
    Math.max(0, ...activeImages.map(({ sharedBytes = 0 }) => sharedBytes))
  return [
    {
      type: 'Images',
      total: images.length,
      active: activeImages.length,
      bytes: layersBytes + interruptedBytes,
      reclaimableBytes: Math.max(0, layersBytes - imagesUsed) + interruptedBytes,
    },
    {
      type: 'Containers',
      total: containers.length,
      active: activeContainers.length,
      bytes: containerBytes,
      reclaimableBytes: containerBytes - sum(activeContainers.map(({ layerBytes = 0 }) => layerBytes)),
    },
    {
      type: 'Local Volumes',
      total: volumes.length,
      active: activeVolumes.length,
      bytes: volumeBytes(volumes),
      reclaimableBytes: volumeBytes(volumes) - volumeBytes(activeVolumes),
    },
    { type: 'Build Cache', total: 0, active: 0, bytes: 0, reclaimableBytes: 0 },
    // docker has none.
    ...(cache.names.length === 0
      ? []
      : [{ type: 'Registry Cache', total: cache.names.length, active: 0, bytes: cache.bytes, reclaimableBytes: cache.reclaimableBytes }]),
  ]
}

async function detailed({ images, containers, volumes, cache }: DiskUsage, now: Date): Promise<string> {
  const how = { now, whole: false }
  const imageFields = {
    ...imageListing(how, false),
    columns: ['Repository', 'Tag', 'ID', 'CreatedSince', 'Size', 'SharedSize', 'UniqueSize', 'Containers'],
  }
  const containerFields = {
    ...containerListing(how, true),
    columns: ['ID', 'Image', 'Command', 'LocalVolumes', 'Size', 'RunningFor', 'Status', 'Names'],
  }
  const volumeFields: Listing<DiskUsage['volumes'][number]> = {
    fields: {
      Name: { header: 'VOLUME NAME', text: volume => volume.Name },
      Links: { header: 'LINKS', text: volume => String(volume.UsageData?.RefCount ?? 0) },
      Size: { header: 'SIZE', text: volume => humanSize(Math.max(0, volume.UsageData?.Size ?? 0)) },
    },
    columns: ['Name', 'Links', 'Size'],
  }
  const cacheFields: Listing<DiskUsage['cache']['names'][number]> = {
    fields: {
      Name: { header: 'NAME', text: ({ name }) => name },
      Size: { header: 'SIZE', text: ({ sizeBytes }) => humanSize(sizeBytes) },
    },
    columns: ['Name', 'Size'],
  }
  const imageRowsOfAll = images.flatMap(image => imageRows(image, false))
  return [
    `Images space usage:\n\n${await formatListing(imageFields, imageRowsOfAll, {})}`,
    `Containers space usage:\n\n${await formatListing(containerFields, containers, {})}`,
    `Local Volumes space usage:\n\n${await formatListing(volumeFields, volumes, {})}`,
    ...(cache.names.length === 0 ? [] : [`Registry cache space usage:\n\n${await formatListing(cacheFields, cache.names, {})}`]),
  ].join('\n')
}
