import { StrataError } from '../../base/index.ts'
import type { StreamName } from '../../engine/index.ts'
import { checkTerminal, follow } from '../attachment/follow.ts'
import { localStreams } from '../attachment/localStreams.ts'
import { SignalRelay } from '../attachment/signalRelay.ts'
import { defineCommand, type Command } from '../command.ts'
import { ATTACH_FLAGS } from '../containerFlags/containerFlags.ts'
import type { Invocation } from '../invocation.ts'
import { flag } from '../options.ts'
import { detachKeysOf } from '../userConfig.ts'

export const command: Command = defineCommand({
  usage: '[OPTIONS] CONTAINER [CONTAINER...]',
  options: {
    attach: flag('Connect stdout and stderr, and pass signals on', { short: 'a' }),
    'detach-keys': ATTACH_FLAGS['detach-keys'],
    interactive: flag('Connect stdin', { short: 'i' }),
  },
  operands: [1, Infinity],
  async run(invocation, { attach, 'detach-keys': detachKeys, interactive }, containers) {
    const engine = await invocation.engine()
    if (!attach && !interactive) {
      return invocation.forEach(containers, async container => {
        await engine.start(container)
        invocation.printLine(container)
      })
    }
    const [container = ''] = containers
    if (containers.length > 1) {
      throw new StrataError('invalidArgument', 'STRATA_INVALID_FLAG', 'Cannot attach to more than one container at once')
    }
    return startAttached(invocation, container, interactive, detachKeys)
  },
})

async function startAttached(
  invocation: Invocation,
  container: string,
  interactive: boolean,
  detachKeys: string | undefined,
): Promise<number> {
  const engine = await invocation.engine()
  const { Config: config } = await engine.inspectContainer(container)
  const names: readonly StreamName[] = [...(interactive && config.OpenStdin ? (['stdin'] as const) : []), 'stdout', 'stderr']
  checkTerminal(invocation.surroundings, { tty: config.Tty, stdin: names.includes('stdin') })
  const relay = new SignalRelay(invocation.surroundings)
  const local = localStreams(invocation.surroundings, {
    names,
    tty: config.Tty,
    detachKeys: detachKeysOf(invocation, detachKeys, config.Tty),
  })
  try {
    const run = await engine.start(container, local.streams, { signal: relay.signal })
    relay.forwardTo(signal => engine.kill(run.id, signal))
    return await follow(invocation, run.ended, relay)
  } finally {
    relay.stop()
    local.restore()
  }
}
