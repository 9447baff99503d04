import { defineCommand, type Command } from '../command.ts'

export const command: Command = defineCommand({
  usage: 'SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]',
  options: {},
  operands: [2, 2],
  async run(invocation, _, [source = '', target = '']) {
    await (await invocation.engine()).tag(source, target)
    return 0
  },
})
