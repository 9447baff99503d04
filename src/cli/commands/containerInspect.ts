import { defineCommand, type Command } from '../command.ts'
import { inspectFormatOption, inspectObjects } from '../inspectObjects.ts'
import { flag } from '../options.ts'

export const command: Command = defineCommand({
  usage: '[OPTIONS] CONTAINER [CONTAINER...]',
  options: { format: inspectFormatOption(), size: flag('With sizes', { short: 's' }) },
  operands: [1, Infinity],
  async run(invocation, { format, size }, containers) {
    const engine = await invocation.engine()
    return inspectObjects(invocation, containers, name => engine.inspectContainer(name, { size }), { format, kind: 'container' })
  },
})
