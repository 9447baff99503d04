import { defineCommand, type Command } from '../command.ts'
import { inspectFormatOption, inspectObjects } from '../inspectObjects.ts'

export const command: Command = defineCommand({
  usage: '[OPTIONS] VOLUME [VOLUME...]',
  options: { format: inspectFormatOption() },
  operands: [1, Infinity],
  async run(invocation, { format }, volumes) {
    const engine = await invocation.engine()
    return inspectObjects(invocation, volumes, name => engine.inspectVolume(name), { format, kind: 'volume' })
  },
})
