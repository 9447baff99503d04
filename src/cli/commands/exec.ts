import type { ExecOptions, StreamName } from '../../engine/index.ts'
import { checkTerminal, follow } from '../attachment/follow.ts'
import { localStreams } from '../attachment/localStreams.ts'
import { SignalRelay } from '../attachment/signalRelay.ts'
import { defineCommand, type Command } from '../command.ts'
import { ATTACH_FLAGS } from '../containerFlags/containerFlags.ts'
import { present } from '../containerFlags/flagValues.ts'
import { resolveEnvironment } from '../containerFlags/keyValues.ts'
import type { Invocation } from '../invocation.ts'
import { flag, list, text } from '../options.ts'
import { detachKeysOf } from '../userConfig.ts'

export const command: Command = defineCommand({
  usage: '[OPTIONS] CONTAINER COMMAND [ARG...]',
  options: {
    detach: flag('Leave it in the background', { short: 'd' }),
    'detach-keys': ATTACH_FLAGS['detach-keys'],
    env: list('Environment variable; NAME alone takes the value from here', { short: 'e' }),
    'env-file': list('File with an environment variable on each line'),
    interactive: flag('Connect stdin', { short: 'i' }),
    privileged: flag('All capabilities for the process'),
    tty: flag('Give the process a terminal', { short: 't' }),
    user: text('User and group (name|uid[:group|gid])', { short: 'u' }),
    workdir: text('Directory in which the process starts', { short: 'w' }),
  },
  operands: [2, Infinity],
  stopsAtOperand: true,
  async run(invocation, flags, [container = '', ...words]) {
    const env = await resolveEnvironment(flags['env-file'], flags.env, invocation.surroundings.env)
    const options = present<ExecOptions>({
      command: words,
      tty: flags.tty || undefined,
      env: env.length === 0 ? undefined : env,
      workingDirectory: flags.workdir,
      user: flags.user,
      privileged: flags.privileged || undefined,
    })
    if (flags.detach) {
      await (await invocation.engine()).exec(container, options)
      return 0
    }
    const names: readonly StreamName[] = [...(flags.interactive ? (['stdin'] as const) : []), 'stdout', 'stderr']
    return execAttached(invocation, container, options, { names, detachKeys: flags['detach-keys'] })
  },
})

interface Attachment {
  readonly names: readonly StreamName[]
  readonly detachKeys: string | undefined
}

async function execAttached(
  invocation: Invocation,
  container: string,
  options: ExecOptions,
  { names, detachKeys }: Attachment,
): Promise<number> {
  const tty = options.tty === true
  checkTerminal(invocation.surroundings, { tty, stdin: names.includes('stdin') })
  const engine = await invocation.engine()
  const relay = new SignalRelay(invocation.surroundings)
  const local = localStreams(invocation.surroundings, { names, tty, detachKeys: detachKeysOf(invocation, detachKeys, tty) })
  try {
    const run = await engine.exec(container, options, local.streams, { signal: relay.signal })
    relay.forwardTo(signal => run.kill(signal))
    return await follow(invocation, run.ended, relay)
  } finally {
    relay.stop()
    local.restore()
  }
}
