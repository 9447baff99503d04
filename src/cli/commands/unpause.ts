import { defineCommand, type Command } from '../command.ts'

export const command: Command = defineCommand({
  usage: 'CONTAINER [CONTAINER...]',
  options: {},
  operands: [1, Infinity],
  async run(invocation, _, containers) {
    const engine = await invocation.engine()
    return invocation.forEach(containers, async container => {
      await engine.unpause(container)
      invocation.printLine(container)
    })
  },
})
