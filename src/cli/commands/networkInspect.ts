import { defineCommand, type Command } from '../command.ts'
import { inspectFormatOption, inspectObjects } from '../inspectObjects.ts'

export const command: Command = defineCommand({
  usage: '[OPTIONS] NETWORK [NETWORK...]',
  options: { format: inspectFormatOption() },
  operands: [1, Infinity],
  async run(invocation, { format }, networks) {
    const engine = await invocation.engine()
    return inspectObjects(invocation, networks, name => engine.inspectNetwork(name), { format, kind: 'network' })
  },
})
