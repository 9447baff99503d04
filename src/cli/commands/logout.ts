import { defineCommand, type Command } from '../command.ts'

export const command: Command = defineCommand({
  usage: '[SERVER]',
  options: {},
  operands: [0, 1],
  async run(invocation, _, [name]) {
    const { server, removed } = await (await invocation.engine()).logout(name)
    invocation.printLine(removed ? `Removing login credentials for ${server}` : `Not logged in to ${server}`)
    return 0
  },
})
