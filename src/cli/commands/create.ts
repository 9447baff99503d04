import type { StreamName } from '../../engine/index.ts'
import { defineCommand, type Command } from '../command.ts'
import { CONTAINER_FLAGS } from '../containerFlags/containerFlags.ts'
import { readContainerOptions } from '../containerFlags/containerOptions.ts'
import { withProgress } from '../progress/progress.ts'

export const command: Command = defineCommand({
  usage: '[OPTIONS] IMAGE [COMMAND] [ARG...]',
  options: CONTAINER_FLAGS,
  operands: [1, Infinity],
  stopsAtOperand: true,
  async run(invocation, flags, operands) {
    const asked = await readContainerOptions(flags, operands, invocation.surroundings.env)
    const attach: readonly StreamName[] = asked.attach ?? [...(flags.interactive ? (['stdin'] as const) : []), 'stdout', 'stderr']
    const engine = await invocation.engine()
    const { id, warnings } = await withProgress(invocation.surroundings.stderr, flags.quiet, onProgress =>
      engine.create({ ...asked, attach }, { signal: invocation.interruption(), onProgress }),
    )
    for (const warning of warnings) invocation.warn(warning)
    invocation.printLine(id)
    return 0
  },
})
