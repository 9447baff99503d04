import { defineCommand, type Command } from '../command.ts'
import type { EngineInfo } from '../../engine/index.ts'
import { compileInspectFormat, inspectFormatOption } from '../inspectObjects.ts'
import { packageVersion } from '../../base/index.ts'
import { binarySize } from '../sizes.ts'

export const command: Command = defineCommand({
  usage: '[OPTIONS]',
  options: { format: inspectFormatOption() },
  operands: [0, 0],
  async run(invocation, { format }) {
    const show = format === undefined ? undefined : await compileInspectFormat(format)
    const info = await (await invocation.engine()).info()
    invocation.print(
      show === undefined ? describe(info, invocation.globals.debug) : `${show({ ...info, ClientInfo: { Version: packageVersion() } })}\n`,
    )
    for (const warning of show === undefined ? info.Warnings : []) invocation.warn(warning.replace(/^WARNING: /, ''))
    return 0
  },
})

function describe(info: EngineInfo, debug: boolean): string {
  return `${[
    'Client:',
    ` Version:    ${packageVersion()}`,
    ` Debug Mode: ${debug}`,
    '',
    'Server:',
    ` Containers: ${info.Containers}`,
    `  Running: ${info.ContainersRunning}`,
    `  Paused: ${info.ContainersPaused}`,
    `  Stopped: ${info.ContainersStopped}`,
    ` Images: ${info.Images}`,
    ` Server Version: ${info.ServerVersion}`,
    ` Storage Driver: ${info.Driver}`,
    ...info.DriverStatus.map(([name, value]) => `  ${name}: ${value}`),
    ` Logging Driver: ${info.LoggingDriver}`,
    ` Cgroup Driver: ${info.CgroupDriver}`,
    ` Cgroup Version: ${info.CgroupVersion === '' ? 'none' : info.CgroupVersion}`,
    ` Runtimes: ${Object.keys(info.Runtimes).sort().join(' ')}`,
    ` Default Runtime: ${info.DefaultRuntime}`,
    ...(info.SecurityOptions.length === 0 ? [] : [' Security Options:', ...info.SecurityOptions.flatMap(describeSecurity)]),
    ...(info.SignaturePolicy === '' ? [] : [` Signature Policy: ${info.SignaturePolicy}`]),
    ` Kernel Version: ${info.KernelVersion}`,
    ` Operating System: ${info.OperatingSystem}`,
    ` OSType: ${info.OSType}`,
    ` Architecture: ${info.Architecture}`,
    ` CPUs: ${info.NCPU}`,
    ` Total Memory: ${binarySize(info.MemTotal)}`,
    ` Name: ${info.Name}`,
    ` ID: ${info.ID}`,
    ` Strata Root Dir: ${info.DockerRootDir}`,
    ` Labels:${info.Labels.map(label => `\n  ${label}`).join('')}`,
  ].join('\n')}\n`
}

/** `name=seccomp,profile=builtin` as a name with its settings below. */
function describeSecurity(option: string): readonly string[] {
  const fields = option.split(',').map(field => field.split('='))
  const name = fields.find(([key]) => key === 'name')?.[1] ?? option
  return [
    `  ${name}`,
    ...fields
      .filter(([key, value]) => key !== 'name' && value !== undefined)
      .map(([key, value]) => `   ${key![0]!.toUpperCase()}${key!.slice(1)}: ${value}`),
  ]
}
