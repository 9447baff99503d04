import type { StreamName } from '../../engine/index.ts'
import { checkTerminal, follow } from '../attachment/follow.ts'
import { localStreams } from '../attachment/localStreams.ts'
import { SignalRelay } from '../attachment/signalRelay.ts'
import { defineCommand, type Command } from '../command.ts'
import { ATTACH_FLAGS } from '../containerFlags/containerFlags.ts'
import { flag } from '../options.ts'
import { detachKeysOf } from '../userConfig.ts'

export const command: Command = defineCommand({
  usage: '[OPTIONS] CONTAINER',
  options: { ...ATTACH_FLAGS, 'no-stdin': flag('Leave stdin alone') },
  operands: [1, 1],
  async run(invocation, { 'detach-keys': detachKeys, 'no-stdin': noStdin, 'sig-proxy': sigProxy }, [container = '']) {
    const engine = await invocation.engine()
    const { Config: config, Id: id } = await engine.inspectContainer(container)
    const names: readonly StreamName[] = [...(!noStdin && config.OpenStdin ? (['stdin'] as const) : []), 'stdout', 'stderr']
    checkTerminal(invocation.surroundings, { tty: config.Tty, stdin: names.includes('stdin') })
    const relay = sigProxy === false ? undefined : new SignalRelay(invocation.surroundings)
    const local = localStreams(invocation.surroundings, {
      names,
      tty: config.Tty,
      detachKeys: detachKeysOf(invocation, detachKeys, config.Tty),
    })
    relay?.forwardTo(signal => engine.kill(id, signal))
    try {
      return await follow(invocation, engine.attach(id, local.streams), relay)
    } finally {
      relay?.stop()
      local.restore()
    }
  },
})
