import { defineCommand, type Command } from '../command.ts'

export const command: Command = defineCommand({
  usage: '',
  options: {},
  operands: [0, 0],
  async run(invocation) {
    let damaged = 0
    for await (const { severity, message } of (await invocation.engine()).check()) {
      if (severity === 'damage') damaged += 1
      invocation.printLine(`${severity}: ${message}`)
    }
    if (damaged > 0) return 1
    invocation.printLine('Every blob and every layer is as it was stored.')
    return 0
  },
})
