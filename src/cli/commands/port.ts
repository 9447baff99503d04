import { StrataError } from '../../base/index.ts'
import { defineCommand, type Command } from '../command.ts'
import { withAddress } from '../ports.ts'

export const command: Command = defineCommand({
  usage: 'CONTAINER [PRIVATE_PORT[/PROTO]]',
  options: {},
  operands: [1, 2],
  async run(invocation, _, [container = '', wanted]) {
    const { NetworkSettings: network } = await (await invocation.engine()).inspectContainer(container)
    const published = Object.entries(network.Ports).flatMap(([port, bindings]) =>
      (bindings ?? []).map(({ HostIp, HostPort }) => ({ port, text: withAddress(HostIp, HostPort) })),
    )
    if (wanted === undefined) {
      const lines = published.map(({ port, text }) => `${port} -> ${text}\n`).sort()
      invocation.print(lines.join(''))
      return 0
    }
    const key = wanted.includes('/') ? wanted : `${wanted}/tcp`
    const matching = published.filter(({ port }) => port === key)
    if (matching.length === 0) {
      throw new StrataError(
        'notFound',
        'STRATA_NO_PUBLISHED_PORT',
        `Cannot show port "${key}" of container "${container}": it is not published`,
      )
    }
    invocation.print(matching.map(({ text }) => `${text}\n`).join(''))
    return 0
  },
})
