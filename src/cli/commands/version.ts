import { defineCommand, type Command } from '../command.ts'
import type { EngineVersion } from '../../engine/index.ts'
import { compileInspectFormat, inspectFormatOption } from '../inspectObjects.ts'
import { packageVersion } from '../../base/index.ts'

interface ClientVersion {
  readonly Version: string
  readonly NodeVersion: string
  readonly Os: string
  readonly Arch: string
}

export const command: Command = defineCommand({
  usage: '[OPTIONS]',
  options: { format: inspectFormatOption() },
  operands: [0, 0],
  async run(invocation, { format }) {
    const show = format === undefined ? undefined : await compileInspectFormat(format)
    const client: ClientVersion = {
      Version: packageVersion(),
      NodeVersion: process.version,
      Os: process.platform,
      Arch: goArch(process.arch),
    }
    const server = await (await invocation.engine()).version()
    invocation.print(show === undefined ? describe(client, server) : `${show({ Client: client, Server: server })}\n`)
    return 0
  },
})

/** Architectures in the names that images use. */
function goArch(arch: string): string {
  return { x64: 'amd64', ia32: '386' }[arch] ?? arch
}

function describe(client: ClientVersion, server: EngineVersion): string {
  const line = (name: string, value: string): string => ` ${`${name}:`.padEnd(18)} ${value}`
  const component = (name: string, version: string, details: Readonly<Record<string, string>>): readonly string[] => [
    ` ${name}:`,
    ` ${line('Version', version)}`,
    ...Object.entries(details).map(([key, value]) => ` ${line(key, value)}`),
  ]
  const engine = server.Components.find(({ Name }) => Name === 'Engine')
  return `${[
    'Client:',
    line('Version', client.Version),
    line('Node version', client.NodeVersion),
    line('OS/Arch', `${client.Os}/${client.Arch}`),
    '',
    `Server: ${server.Platform.Name}`.trimEnd(),
    ...component(
      'Engine',
      server.Version,
      engine?.Details ?? { 'OS/Arch': `${server.Os}/${server.Arch}`, 'Kernel version': server.KernelVersion },
    ),
    ...server.Components.filter(({ Name }) => Name !== 'Engine').flatMap(({ Name, Version, Details }) =>
      component(Name, Version, Details ?? {}),
    ),
  ].join('\n')}\n`
}
