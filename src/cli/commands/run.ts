import { StrataError } from '../../base/index.ts'
import type { ContainerOptions, StreamName } from '../../engine/index.ts'
import { checkTerminal, follow } from '../attachment/follow.ts'
import { localStreams } from '../attachment/localStreams.ts'
import { SignalRelay } from '../attachment/signalRelay.ts'
import { defineCommand, type Command } from '../command.ts'
import { ATTACH_FLAGS, CONTAINER_FLAGS } from '../containerFlags/containerFlags.ts'
import { readContainerOptions } from '../containerFlags/containerOptions.ts'
import type { Invocation } from '../invocation.ts'
import { flag } from '../options.ts'
import { withProgress } from '../progress/progress.ts'
import { detachKeysOf } from '../userConfig.ts'

interface Foreground {
  readonly tty: boolean
  readonly detachKeys: string | undefined
  readonly sigProxy: boolean
  readonly quiet: boolean
}

export const command: Command = defineCommand({
  usage: '[OPTIONS] IMAGE [COMMAND] [ARG...]',
  options: {
    ...CONTAINER_FLAGS,
    ...ATTACH_FLAGS,
    detach: flag('Leave it in the background and print its ID', { short: 'd' }),
  },
  operands: [1, Infinity],
  stopsAtOperand: true,
  async run(invocation, flags, operands) {
    const asked = await readContainerOptions(flags, operands, invocation.surroundings.env)
    if (flags.detach) {
      if (asked.attach !== undefined)
        throw new StrataError('invalidArgument', 'STRATA_INVALID_FLAG', 'Cannot use --attach: it cannot be given together with --detach')
      return runDetached(invocation, { ...asked, attach: [] }, flags.quiet)
    }
    const attach: readonly StreamName[] = asked.attach ?? [...(flags.interactive ? (['stdin'] as const) : []), 'stdout', 'stderr']
    checkTerminal(invocation.surroundings, { tty: flags.tty, stdin: attach.includes('stdin') })
    return runAttached(invocation, { ...asked, attach }, attach, {
      tty: flags.tty,
      detachKeys: detachKeysOf(invocation, flags['detach-keys'], flags.tty),
      sigProxy: flags['sig-proxy'] !== false,
      quiet: flags.quiet,
    })
  },
})

async function runDetached(invocation: Invocation, options: ContainerOptions, quiet: boolean): Promise<number> {
  const engine = await invocation.engine()
  const { id, warnings } = await withProgress(invocation.surroundings.stderr, quiet, onProgress =>
    engine.run(options, undefined, { signal: invocation.interruption(), onProgress }),
  )
  for (const warning of warnings) invocation.warn(warning)
  invocation.printLine(id)
  return 0
}

async function runAttached(
  invocation: Invocation,
  options: ContainerOptions,
  names: readonly StreamName[],
  how: Foreground,
): Promise<number> {
  const engine = await invocation.engine()
  const relay = new SignalRelay(invocation.surroundings)
  const local = localStreams(invocation.surroundings, { names, tty: how.tty, detachKeys: how.detachKeys })
  try {
    const run = await withProgress(invocation.surroundings.stderr, how.quiet, onProgress =>
      engine.run(options, local.streams, { signal: relay.signal, onProgress }),
    )
    for (const warning of run.warnings) invocation.warn(warning)
    if (!names.includes('stdout') && !names.includes('stderr')) invocation.printLine(run.id)
    if (how.sigProxy) relay.forwardTo(signal => engine.kill(run.id, signal))
    else relay.stop()
    return await follow(invocation, run.ended, relay)
  } finally {
    relay.stop()
    local.restore()
  }
}
