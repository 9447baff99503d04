import type { StreamName } from '../../engine/index.ts'
import { defineCommand, type Command } from '../command.ts'
import { CONTAINER_FLAGS } from '../containerFlags/containerFlags.ts'
import { readContainerOptions } from '../containerFlags/containerOptions.ts'
import { showProgress } from '../progress/progress.ts'

export const command: Command = defineCommand({
  usage: '[OPTIONS] IMAGE [COMMAND] [ARG...]',
  options: CONTAINER_FLAGS,
  operands: [1, Infinity],
  stopsAtOperand: true,
  async run(invocation, flags, operands) {
    const asked = await readContainerOptions(flags, operands, invocation.surroundings.env)
    const attach: readonly StreamName[] = asked.attach ?? [...(flags.interactive ? (['stdin'] as const) : []), 'stdout', 'stderr']
    const engine = await invocation.engine()
    const display = await showProgress(invocation.surroundings.stderr, flags.quiet)
    const call = { signal: invocation.interruption(), onProgress: display.onProgress }
    const { id, warnings } = await engine.create({ ...asked, attach }, call).finally(() => display.done())
    for (const warning of warnings) invocation.warn(warning)
    invocation.printLine(id)
    return 0
  },
})
