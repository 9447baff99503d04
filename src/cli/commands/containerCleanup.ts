import { defineCommand, type Command } from '../command.ts'

export const command: Command = defineCommand({
  usage: 'CONTAINER',
  options: {},
  operands: [1, 1],
  async run(invocation, _, [container = '']) {
    await (await invocation.engine()).cleanUpContainer(container)
    return 0
  },
})
