import { defineCommand, type Command } from '../command.ts'

const LETTERS = { add: 'A', modify: 'C', delete: 'D' } as const

export const command: Command = defineCommand({
  usage: 'CONTAINER',
  options: {},
  operands: [1, 1],
  async run(invocation, _, [container = '']) {
    const changes = await (await invocation.engine()).diff(container)
    invocation.print(changes.map(({ kind, path }) => `${LETTERS[kind]} ${path}\n`).join(''))
    return 0
  },
})
