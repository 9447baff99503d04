import { defineCommand, type Command } from '../command.ts'

export const command: Command = defineCommand({
  usage: 'REPOSITORY',
  options: {},
  operands: [1, 1],
  async run(invocation, _, [repository = '']) {
    const engine = await invocation.engine()
    for await (const tag of engine.tags(repository, { signal: invocation.interruption() })) invocation.printLine(tag)
    return 0
  },
})
