import type { VolumeInspect } from '../../engine/index.ts'
import { defineCommand, type Command } from '../command.ts'
import { formatLabels } from '../containerListing.ts'
import { Filters } from '../filters.ts'
import { formatOption, type Listing, printListing, quietOption } from '../listing.ts'
import { list } from '../options.ts'
import { humanSize } from '../sizes.ts'

const LISTING: Listing<VolumeInspect> = {
  fields: {
    Driver: { header: 'DRIVER', text: volume => volume.Driver },
    Name: { header: 'VOLUME NAME', text: volume => volume.Name },
    Mountpoint: { header: 'MOUNTPOINT', text: volume => volume.Mountpoint },
    Scope: { header: 'SCOPE', text: volume => volume.Scope },
    Labels: { header: 'LABELS', text: volume => formatLabels(volume.Labels ?? {}) },
    Links: { header: 'LINKS', text: volume => String(volume.UsageData?.RefCount ?? 'N/A') },
    Size: { header: 'SIZE', text: volume => (volume.UsageData === undefined ? 'N/A' : humanSize(volume.UsageData.Size)) },
  },
  columns: ['Driver', 'Name'],
  identity: 'Name',
  labels: volume => volume.Labels ?? {},
}

export const command: Command = defineCommand({
  usage: '[OPTIONS]',
  options: {
    filter: list('Only those that match, such as "dangling=true"', { short: 'f', value: 'filter' }),
    format: formatOption(),
    quiet: quietOption('Names alone'),
  },
  operands: [0, 0],
  async run(invocation, { filter, format, quiet }) {
    const filters = new Filters(filter, ['dangling', 'driver', 'label', 'name'], invocation.surroundings.now())
    const engine = await invocation.engine()
    const volumes = await engine.volumes({
      ...filters.truth('dangling', 'dangling'),
      ...filters.list('driver', 'drivers'),
      ...filters.list('label', 'labels'),
      ...filters.list('name', 'names'),
    })
    const sorted = [...volumes].sort((a, b) => (a.Name < b.Name ? -1 : 1))
    await printListing(invocation, LISTING, sorted, { format, quiet, setting: 'volumesFormat' })
    return 0
  },
})
