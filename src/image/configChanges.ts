import { constants } from 'node:os'
import { posix } from 'node:path'
import { StrataError } from '../base/index.ts'
import { type CommandLine, type ConfigInstruction, parseConfigInstruction } from '../dockerfile/index.ts'
import type { Healthcheck, ProcessConfig } from '../oci/index.ts'

/** What runs a command in shell form, unless the image's config names another shell. Dockerfile reference, SHELL. */
const DEFAULT_SHELL: readonly string[] = ['/bin/sh', '-c']

/**
 * The config after Dockerfile instructions, as `commit --change` and `import --change` take them: one
 * after the other, words expanded with the environment so far.
 *
 * @throws StrataError `invalidArgument` for an instruction that cannot be read or does not change the config
 */
export function changeConfig(config: ProcessConfig, lines: readonly string[]): ProcessConfig {
  let changed = config
  let commandGiven = false
  for (const line of lines) {
    const environment = new Map((changed.Env ?? []).map(splitPair))
    const instruction = parseConfigInstruction(line, name => environment.get(name))
    commandGiven ||= instruction.name === 'CMD'
    changed = applyInstruction(changed, instruction)
    // A new entry point makes nothing of the arguments that were meant for the old one.
    if (instruction.name === 'ENTRYPOINT' && !commandGiven) changed = without(changed, 'Cmd')
  }
  return changed
}

/** The highest signal of Linux, SIGRTMAX. signal(7) */
const LAST_SIGNAL = 64

function checkedSignal(text: string): string {
  const name = text.toUpperCase().replace(/^SIG/, '')
  const isSignal = /^\d+$/.test(text)
    ? Number(text) >= 1 && Number(text) <= LAST_SIGNAL
    : `SIG${name}` in constants.signals || /^RT(?:MIN(?:\+\d{1,2})?|MAX(?:-\d{1,2})?)$/.test(name)
  if (isSignal) return text
  throw new StrataError(
    'invalidArgument',
    'STRATA_DOCKERFILE_INSTRUCTION',
    `Cannot use instruction "STOPSIGNAL ${text}": there is no such signal`,
  )
}

/**
 * The config after one instruction whose words are expanded.
 *
 * @throws StrataError `invalidArgument` for a signal that does not exist
 */
export function applyInstruction(config: ProcessConfig, instruction: ConfigInstruction): ProcessConfig {
  switch (instruction.name) {
    case 'CMD':
      return { ...config, Cmd: commandOf(instruction.command, config) }
    case 'ENTRYPOINT':
      return { ...config, Entrypoint: commandOf(instruction.command, config) }
    case 'ENV':
      return { ...config, Env: [...new Map([...(config.Env ?? []).map(splitPair), ...instruction.pairs])].map(pair => pair.join('=')) }
    case 'LABEL':
      return { ...config, Labels: { ...config.Labels, ...Object.fromEntries(instruction.pairs) } }
    case 'EXPOSE':
      return { ...config, ExposedPorts: { ...config.ExposedPorts, ...keySet(instruction.ports) } }
    case 'HEALTHCHECK':
      return { ...config, Healthcheck: healthcheckOf(instruction, config) }
    case 'ONBUILD':
      return { ...config, OnBuild: [...(config.OnBuild ?? []), instruction.trigger] }
    case 'SHELL':
      return { ...config, Shell: instruction.words }
    case 'MAINTAINER':
      // An author is the image's, not its processes'.
      return config
    case 'STOPSIGNAL':
      return { ...config, StopSignal: checkedSignal(instruction.signal) }
    case 'USER':
      return { ...config, User: instruction.user }
    case 'VOLUME':
      return { ...config, Volumes: { ...config.Volumes, ...keySet(instruction.paths) } }
    case 'WORKDIR':
      return { ...config, WorkingDir: posix.resolve('/', config.WorkingDir ?? '/', instruction.path) }
    default:
      return instruction satisfies never
  }
}

function commandOf(command: CommandLine, config: ProcessConfig): readonly string[] {
  return command.form === 'exec' ? command.words : [...(config.Shell ?? DEFAULT_SHELL), ...command.words]
}

function healthcheckOf({ command, options }: Extract<ConfigInstruction, { name: 'HEALTHCHECK' }>, config: ProcessConfig): Healthcheck {
  if (command === undefined) return { Test: ['NONE'] }
  return {
    Test:
      command.form === 'exec'
        ? ['CMD', ...command.words]
        : [config.Shell === undefined ? 'CMD-SHELL' : 'CMD', ...(config.Shell ?? []), ...command.words],
    ...(options.intervalNs === undefined ? {} : { Interval: options.intervalNs }),
    ...(options.timeoutNs === undefined ? {} : { Timeout: options.timeoutNs }),
    ...(options.startPeriodNs === undefined ? {} : { StartPeriod: options.startPeriodNs }),
    ...(options.startIntervalNs === undefined ? {} : { StartInterval: options.startIntervalNs }),
    ...(options.retries === undefined ? {} : { Retries: options.retries }),
  }
}

function without(config: ProcessConfig, name: keyof ProcessConfig): ProcessConfig {
  return Object.fromEntries(Object.entries(config).filter(([key]) => key !== name))
}

const keySet = (names: readonly string[]): Readonly<Record<string, object>> => Object.fromEntries(names.map(name => [name, {}]))

function splitPair(pair: string): [string, string] {
  const equals = pair.indexOf('=')
  return equals < 0 ? [pair, ''] : [pair.slice(0, equals), pair.slice(equals + 1)]
}
