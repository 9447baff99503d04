import { hostname as hostName } from 'node:os'
import { StrataError } from '../base/index.ts'
import { parseExposedPorts, parseNetworkMode } from '../network/index.ts'
import type { Healthcheck, ProcessConfig } from '../oci/index.ts'
import type { ContainerConfigJson, HealthcheckJson, KeySet } from './inspect.ts'
import type { ContainerOptions, HealthCheckOptions } from './options.ts'

/**
 * What a container's process is, by docker's rules: the options' word where they have one, else the
 * image's; environment, labels, ports and volumes are both's together.
 *
 * @param volumes targets of anonymous volumes
 * Throws `invalidArgument` (STRATA_NO_COMMAND) when neither names a command.
 */
export function mergeConfig(
  image: ProcessConfig,
  options: ContainerOptions,
  more: { readonly id: string; readonly volumes: readonly string[] },
): ContainerConfigJson {
  const { entrypoint, command } = mergeCommand(image, options)
  const attach = options.attach ?? []
  const exposed = exposedPorts(image, options)
  const healthcheck = mergeHealthcheck(image.Healthcheck, options.healthCheck)
  const stopSignal = options.stopSignal ?? image.StopSignal
  return {
    Hostname: options.hostname ?? defaultHostname(options, more.id),
    Domainname: options.domainName ?? '',
    User: options.user ?? image.User ?? '',
    AttachStdin: attach.includes('stdin'),
    AttachStdout: attach.includes('stdout'),
    AttachStderr: attach.includes('stderr'),
    ...(Object.keys(exposed).length === 0 ? {} : { ExposedPorts: exposed }),
    Tty: options.tty === true,
    OpenStdin: options.openStdin === true,
    StdinOnce: options.openStdin === true && attach.includes('stdin'),
    Env: mergeEnvironment(image.Env ?? [], options.env ?? []),
    Cmd: command,
    ...(healthcheck === undefined ? {} : { Healthcheck: healthcheck }),
    Image: options.image,
    Volumes: more.volumes.length === 0 ? null : keySet(more.volumes),
    WorkingDir: options.workingDirectory ?? image.WorkingDir ?? '',
    Entrypoint: entrypoint,
    OnBuild: null,
    Labels: { ...image.Labels, ...options.labels },
    ...(stopSignal === undefined ? {} : { StopSignal: stopSignal }),
    ...(options.stopTimeoutSeconds === undefined ? {} : { StopTimeout: options.stopTimeoutSeconds }),
    ...(image.Shell === undefined ? {} : { Shell: image.Shell }),
  }
}

/** The whole command line of a container. */
export function commandLine({ Entrypoint, Cmd }: Pick<ContainerConfigJson, 'Entrypoint' | 'Cmd'>): readonly string[] {
  return [...(Entrypoint ?? []), ...(Cmd ?? [])]
}

function mergeCommand(
  image: ProcessConfig,
  options: ContainerOptions,
): { readonly entrypoint: readonly string[] | null; readonly command: readonly string[] | null } {
  const entrypoint = options.entrypoint ?? image.Entrypoint ?? []
  const command = options.command ?? (options.entrypoint === undefined ? (image.Cmd ?? []) : [])
  if (entrypoint.length + command.length === 0) {
    throw new StrataError('invalidArgument', 'STRATA_NO_COMMAND', `Cannot create a container of "${options.image}": no command is given`, {
      hint: 'The image has none of its own: write one after its name.',
    })
  }
  return { entrypoint: entrypoint.length === 0 ? null : entrypoint, command: command.length === 0 ? null : command }
}

/** A name that both have keeps its place and gets the new value; `NAME` alone removes it. */
export function mergeEnvironment(base: readonly string[], changes: readonly string[]): readonly string[] {
  const merged = new Map<string, string>()
  const nameOf = (variable: string): string => variable.split('=', 1)[0]!
  for (const variable of base) merged.set(nameOf(variable), variable)
  for (const variable of changes) {
    if (variable.includes('=')) merged.set(nameOf(variable), variable)
    else merged.delete(variable)
  }
  return [...merged.values()]
}

function exposedPorts(image: ProcessConfig, options: ContainerOptions): KeySet {
  const fromImage = Object.keys(image.ExposedPorts ?? {}).flatMap(parseExposedPorts)
  const published = (options.publish ?? []).map(({ containerPort, protocol }) => `${containerPort}/${protocol}`)
  return keySet([...fromImage, ...(options.expose ?? []).flatMap(parseExposedPorts), ...published])
}

function keySet(keys: Iterable<string>): KeySet {
  return Object.fromEntries([...keys].map(key => [key, {}]))
}

/** With the host's network or its UTS namespace a container has the host's name. */
function defaultHostname(options: ContainerOptions, id: string): string {
  const hosts = options.uts === 'host' || parseNetworkMode(options.network ?? '').kind === 'host'
  return hosts ? hostName() : id.slice(0, 12)
}

const NANOSECONDS = 1_000_000

/** Docker's rule: fields that the options leave out are the image's; `disabled` is a test of its own. */
function mergeHealthcheck(image: Healthcheck | undefined, options: HealthCheckOptions | undefined): HealthcheckJson | undefined {
  if (options === undefined) return image
  if (options.disabled === true) return { Test: ['NONE'] }
  const times = (['intervalMs', 'timeoutMs', 'startPeriodMs', 'startIntervalMs'] as const).map(key => {
    const value = options[key]
    return value === undefined ? {} : { [HEALTH_FIELDS[key]]: value * NANOSECONDS }
  })
  return Object.assign(
    {},
    image,
    options.shellCommand === undefined ? {} : { Test: ['CMD-SHELL', options.shellCommand] },
    ...times,
    options.retries === undefined ? {} : { Retries: options.retries },
  ) as HealthcheckJson
}

const HEALTH_FIELDS = {
  intervalMs: 'Interval',
  timeoutMs: 'Timeout',
  startPeriodMs: 'StartPeriod',
  startIntervalMs: 'StartInterval',
} as const
