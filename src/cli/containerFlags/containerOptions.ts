import { isAbsolute, resolve } from 'node:path'
import type { StrataError } from '../../base/index.ts'
import type { ContainerOptions, HealthCheckOptions, RestartOptions, StreamName } from '../../engine/index.ts'
import type { OptionValues } from '../options.ts'
import type { ContainerFlagTable } from './containerFlags.ts'
import { readDevice } from './devices.ts'
import { invalidFlag, present } from './flagValues.ts'
import { type Environment, readKeyValues, resolveEnvironment } from './keyValues.ts'
import { readMount } from './mounts.ts'
import { readUlimit } from './ulimits.ts'

export type ContainerFlags = OptionValues<ContainerFlagTable>

/**
 * What the flags and operands of `run` and `create` ask for.
 *
 * @param operands the image, and the command with its arguments
 * @param env this process's environment, for `-e NAME`
 * Rejects with `invalidArgument` for what cannot be meant, and when a file of `--env-file` or
 * `--label-file` cannot be read.
 */
export async function readContainerOptions(
  flags: ContainerFlags,
  operands: readonly string[],
  env: Environment,
): Promise<ContainerOptions> {
  const [image = '', ...command] = operands
  const restart = readRestart(flags.restart)
  if (flags.rm && restart !== undefined && restart.policy !== 'no') throw invalidFlag('--rm', 'it cannot be given together with --restart')
  return present<ContainerOptions>({
    image,
    platform: flags.platform,
    pull: flags.pull,
    name: flags.name,
    cidFile: flags.cidfile,
    command: command.length === 0 ? undefined : command,
    entrypoint: flags.entrypoint === undefined ? undefined : flags.entrypoint === '' ? [] : [flags.entrypoint],
    env: nonEmpty(await resolveEnvironment(flags['env-file'], flags.env, env)),
    workingDirectory: flags.workdir,
    user: flags.user,
    groups: nonEmpty(flags['group-add']),
    tty: flags.tty || undefined,
    openStdin: flags.interactive || undefined,
    attach: flags.attach.length === 0 ? undefined : flags.attach.map(readStream),
    init: flags.init || undefined,
    stopSignal: flags['stop-signal'],
    stopTimeoutSeconds: flags['stop-timeout'],
    restart,
    autoRemove: flags.rm || undefined,
    healthCheck: readHealthCheck(flags),
    log:
      flags['log-driver'] === undefined && flags['log-opt'].length === 0
        ? undefined
        : present({ driver: flags['log-driver'], options: mapOf('--log-opt', flags['log-opt']) }),
    labels: emptyToUndefined(await readKeyValues('--label', flags['label-file'], flags.label)),
    annotations: mapOf('--annotation', flags.annotation),
    runtime: flags.runtime,
    binds: nonEmpty(flags.volume.map(readBind)),
    mounts: nonEmpty(flags.mount.map(readMount)),
    volumesFrom: nonEmpty(flags['volumes-from']),
    volumeDriver: flags['volume-driver'],
    tmpfs: flags.tmpfs.length === 0 ? undefined : Object.fromEntries(flags.tmpfs.map(readTmpfs)),
    readOnly: flags['read-only'] || undefined,
    storageOptions: mapOf('--storage-opt', flags['storage-opt']),
    shmBytes: flags['shm-size'],
    devices: nonEmpty(flags.device.map(readDevice)),
    deviceCgroupRules: nonEmpty(flags['device-cgroup-rule']),
    hostname: flags.hostname,
    domainName: flags.domainname,
    privileged: flags.privileged || undefined,
    capabilitiesAdded: nonEmpty(flags['cap-add']),
    capabilitiesDropped: nonEmpty(flags['cap-drop']),
    securityOptions: nonEmpty(flags['security-opt']),
    sysctls: mapOf('--sysctl', flags.sysctl),
    ipc: flags.ipc,
    pid: flags.pid,
    uts: flags.uts,
    userNamespace: flags.userns,
    cgroupNamespace: flags.cgroupns || undefined,
    memoryBytes: flags.memory,
    memoryReservationBytes: flags['memory-reservation'],
    memorySwapBytes: flags['memory-swap'],
    memorySwappiness: flags['memory-swappiness'] === -1 ? undefined : flags['memory-swappiness'],
    oomKillDisabled: flags['oom-kill-disable'] || undefined,
    oomScoreAdjustment: flags['oom-score-adj'],
    cpus: flags.cpus,
    cpuShares: flags['cpu-shares'],
    cpuPeriodMicroseconds: flags['cpu-period'],
    cpuQuotaMicroseconds: flags['cpu-quota'],
    cpuRealtimePeriodMicroseconds: flags['cpu-rt-period'],
    cpuRealtimeRuntimeMicroseconds: flags['cpu-rt-runtime'],
    cpusetCpus: flags['cpuset-cpus'],
    cpusetMems: flags['cpuset-mems'],
    pidsLimit: flags['pids-limit'],
    blockIoWeight: flags['blkio-weight'] || undefined,
    cgroupParent: flags['cgroup-parent'],
    ulimits: nonEmpty(flags.ulimit.map(readUlimit)),
    ...(await readPorts(flags)),
    network: flags.network ?? flags.net,
    networkAliases: nonEmpty([...flags['network-alias'], ...flags['net-alias']]),
    ipAddress: flags.ip,
    ip6Address: flags.ip6,
    macAddress: flags['mac-address'],
    publishAll: flags['publish-all'] || undefined,
    extraHosts: nonEmpty(flags['add-host'].map(readExtraHost)),
    dnsServers: nonEmpty(flags.dns),
    dnsSearch: nonEmpty(flags['dns-search']),
    dnsOptions: nonEmpty([...flags['dns-option'], ...flags['dns-opt']]),
  })
}

function nonEmpty<T>(list: readonly T[]): readonly T[] | undefined {
  return list.length === 0 ? undefined : list
}

function emptyToUndefined<T extends object>(map: T): T | undefined {
  return Object.keys(map).length === 0 ? undefined : map
}

/** `key=value` flags as a map; a key alone has an empty value. */
function mapOf(flag: string, texts: readonly string[]): Readonly<Record<string, string>> | undefined {
  if (texts.length === 0) return undefined
  return Object.fromEntries(
    texts.map(text => {
      const equals = text.indexOf('=')
      if (equals === 0 || text === '') throw invalidFlag(`${flag} "${text}"`, 'expected key=value')
      return equals === -1 ? [text, ''] : [text.slice(0, equals), text.slice(equals + 1)]
    }),
  )
}

function readStream(text: string): StreamName {
  const name = text.toLowerCase()
  if (name === 'stdin' || name === 'stdout' || name === 'stderr') return name
  throw invalidFlag(`--attach "${text}"`, 'expected STDIN, STDOUT or STDERR')
}

function readRestart(text: string | undefined): RestartOptions | undefined {
  if (text === undefined || text === '') return undefined
  const [policy = '', retries, ...rest] = text.split(':')
  const wrong = (state: string): StrataError => invalidFlag(`--restart "${text}"`, state)
  switch (policy) {
    case 'no':
    case 'always':
    case 'unless-stopped':
      if (retries !== undefined) throw wrong(`"${policy}" has no number of retries`)
      return { policy }
    case 'on-failure':
      if (retries === undefined) return { policy }
      if (rest.length > 0 || !/^\d+$/.test(retries)) throw wrong('expected on-failure[:<number of retries>]')
      return { policy, maximumRetries: Number(retries) }
    default:
      throw wrong('expected no, always, unless-stopped or on-failure[:<number of retries>]')
  }
}

function readHealthCheck(flags: ContainerFlags): HealthCheckOptions | undefined {
  const asked = present<HealthCheckOptions>({
    shellCommand: flags['health-cmd'],
    intervalMs: flags['health-interval'],
    timeoutMs: flags['health-timeout'],
    startPeriodMs: flags['health-start-period'],
    startIntervalMs: flags['health-start-interval'],
    retries: flags['health-retries'],
  })
  const some = Object.keys(asked).length > 0
  if (!flags['no-healthcheck']) return some ? asked : undefined
  if (some) throw invalidFlag('--no-healthcheck', 'it cannot be given together with --health-* flags')
  return { disabled: true }
}

/** A `-v`: what stands before the first colon is made absolute when it is a path relative to here. */
function readBind(text: string): string {
  const colon = text.indexOf(':')
  if (colon === -1) return text
  const source = text.slice(0, colon)
  const relative = source === '.' || source === '..' || source.startsWith('./') || source.startsWith('../')
  if (source === '~' || source.startsWith('~/')) throw invalidFlag(`--volume "${text}"`, '"~" is left for the shell to expand')
  return relative || isAbsolute(source) ? resolve(source) + text.slice(colon) : text
}

function readTmpfs(text: string): readonly [string, string] {
  const colon = text.indexOf(':')
  return colon === -1 ? [text, ''] : [text.slice(0, colon), text.slice(colon + 1)]
}

/** `name:address` or `name=address`; the address may be IPv6, in brackets or not. */
function readExtraHost(text: string): string {
  const [, name, address] = /^([^:=]+)[:=](.+)$/.exec(text) ?? []
  if (name === undefined || address === undefined) throw invalidFlag(`--add-host "${text}"`, 'expected host:ip')
  return `${name}:${address.replace(/^\[(.*)\]$/, '$1')}`
}

/** The grammar of ports is the network part's; it is loaded only when ports are given. */
async function readPorts(flags: ContainerFlags): Promise<Pick<ContainerOptions, 'publish' | 'expose'>> {
  if (flags.publish.length === 0 && flags.expose.length === 0) return {}
  const { parseExposedPorts, parsePublish } = await import('../../network/index.ts')
  return present<Pick<ContainerOptions, 'publish' | 'expose'>>({
    publish: nonEmpty(flags.publish.flatMap(parsePublish)),
    expose: nonEmpty(flags.expose.flatMap(parseExposedPorts)),
  })
}
