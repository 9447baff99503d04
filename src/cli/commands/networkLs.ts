import type { NetworkInspect } from '../../engine/index.ts'
import { defineCommand, type Command } from '../command.ts'
import { formatLabels } from '../containerListing.ts'
import { Filters } from '../filters.ts'
import { formatOption, type Listing, printListing, quietOption } from '../listing.ts'
import { flag, list } from '../options.ts'
import { shortId } from '../tables.ts'

function networkListing(whole: boolean): Listing<NetworkInspect> {
  return {
    fields: {
      ID: { header: 'NETWORK ID', text: network => (whole ? network.Id : shortId(network.Id)) },
      Name: { header: 'NAME', text: network => network.Name },
      Driver: { header: 'DRIVER', text: network => network.Driver },
      Scope: { header: 'SCOPE', text: network => network.Scope },
      IPv4: { header: 'IPV4', text: network => String(network.EnableIPv4) },
      IPv6: { header: 'IPV6', text: network => String(network.EnableIPv6) },
      Internal: { header: 'INTERNAL', text: network => String(network.Internal) },
      Labels: { header: 'LABELS', text: network => formatLabels(network.Labels) },
      CreatedAt: { header: 'CREATED AT', text: network => network.Created },
    },
    columns: ['ID', 'Name', 'Driver', 'Scope'],
    identity: 'ID',
    labels: network => network.Labels,
  }
}

export const command: Command = defineCommand({
  usage: '[OPTIONS]',
  options: {
    filter: list('Only those that match, such as "driver=bridge"', { short: 'f', value: 'filter' }),
    format: formatOption(),
    'no-trunc': flag('Shorten nothing'),
    quiet: quietOption('IDs alone'),
  },
  operands: [0, 0],
  async run(invocation, { filter, format, 'no-trunc': whole, quiet }) {
    const filters = new Filters(filter, ['driver', 'id', 'label', 'name'], invocation.surroundings.now())
    const engine = await invocation.engine()
    const networks = await engine.networks({
      ...filters.list('driver', 'drivers'),
      ...filters.list('id', 'ids'),
      ...filters.list('label', 'labels'),
      ...filters.list('name', 'names'),
    })
    const sorted = [...networks].sort((a, b) => (a.Name < b.Name ? -1 : 1))
    await printListing(invocation, networkListing(whole), sorted, { format, quiet, setting: 'networksFormat' })
    return 0
  },
})
