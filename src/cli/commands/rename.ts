import { defineCommand, type Command } from '../command.ts'

export const command: Command = defineCommand({
  usage: 'CONTAINER NEW_NAME',
  options: {},
  operands: [2, 2],
  async run(invocation, _, [container = '', name = '']) {
    await (await invocation.engine()).rename(container, name)
    return 0
  },
})
