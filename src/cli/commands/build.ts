import { defineCommand, type Command } from '../command.ts'
import { flag, list, text } from '../options.ts'

export const command: Command = defineCommand({
  usage: '[OPTIONS] PATH',
  options: {
    'build-arg': list('NAME=VALUE of an ARG'),
    file: text('The Dockerfile (default PATH/Dockerfile)', { short: 'f' }),
    'no-cache': flag('Build every step anew'),
    platform: text('Platform of the image (os[/arch[/variant]])'),
    quiet: flag('Print the image id and nothing else', { short: 'q' }),
    tag: list('Name of the image, with or without a tag', { short: 't' }),
    target: text('The stage to build'),
  },
  operands: [1, 1],
  async run(invocation, flags, [context = '']) {
    const engine = await invocation.engine()
    const { stderr, env } = invocation.surroundings
    const buildArguments = Object.fromEntries(
      flags['build-arg'].flatMap(pair => {
        const equals = pair.indexOf('=')
        const name = equals < 0 ? pair : pair.slice(0, equals)
        const value = equals < 0 ? env[name] : pair.slice(equals + 1)
        return value === undefined ? [] : [[name, value]]
      }),
    )
    const { imageId } = await engine.build(context, {
      signal: invocation.interruption(),
      buildArguments,
      tags: flags.tag,
      noCache: flags['no-cache'],
      ...(flags.file === undefined ? {} : { file: flags.file }),
      ...(flags.platform === undefined ? {} : { platform: flags.platform }),
      ...(flags.target === undefined ? {} : { target: flags.target }),
      ...(flags.quiet
        ? {}
        : {
            onEvent: event => {
              const { step } = event
              if (event.kind === 'output') stderr.write(event.chunk)
              else stderr.write(`[${step.stage} ${step.position}/${step.count}] ${event.kind} ${step.text}\n`)
            },
          }),
    })
    invocation.printLine(imageId)
    return 0
  },
})
