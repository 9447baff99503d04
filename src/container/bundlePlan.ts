import { lstatSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { StrataError, systemError } from '../base/index.ts'
import type {
  BundleDevice,
  BundleMount,
  BundleOptions,
  ConsoleSize,
  NamespaceOptions,
  ProcessOptions,
  ResolvedUser,
  ResourceOptions,
  RuntimeDeviceRule,
  SeccompProfile,
} from '../runtime/index.ts'
import { commandLine } from './mergedConfig.ts'
import type { ContainerOptions, DeviceOptions } from './options.ts'
import type { ContainerDefinition, ContainerRecord } from './record.ts'

/** What is only known when the container is about to start. */
export interface StartFacts {
  readonly rootfs: string
  readonly user: ResolvedUser
  readonly mounts: readonly BundleMount[]
  readonly namespaces: Pick<NamespaceOptions, 'network' | 'pid' | 'ipc'>
  readonly consoleSize?: ConsoleSize | undefined
  readonly seccomp?: SeccompProfile | undefined
}

/** A container in the runtime part's words. */
export function bundleOptions({ id, definition }: ContainerRecord, facts: StartFacts): BundleOptions {
  const { options, config, initProgram } = definition
  const security = readSecurityOptions(options)
  return present<BundleOptions>({
    id,
    cgroupParent: options.cgroupParent,
    rootfs: facts.rootfs,
    readonlyRootfs: options.readOnly,
    process: { ...processOptions(definition, facts.user), args: commandLine(config), ...consoleOf(facts) },
    hostname: config.Hostname,
    domainname: config.Domainname === '' ? undefined : config.Domainname,
    mounts: facts.mounts,
    namespaces: present<NamespaceOptions>({
      ...facts.namespaces,
      uts: options.uts === 'host' || facts.namespaces.network === 'host' ? 'host' : 'private',
      cgroup: options.cgroupNamespace,
    }),
    devices: options.devices?.flatMap(resolveDevice),
    deviceRules: options.deviceCgroupRules?.map(parseDeviceRule),
    resources: resourceOptions(options),
    seccomp: facts.seccomp ?? security.seccomp,
    maskedPaths: security.systemPathsShown ? [] : undefined,
    readonlyPaths: security.systemPathsShown ? [] : undefined,
    sysctls: options.sysctls,
    shmBytes: options.shmBytes,
    initProgram,
    annotations: options.annotations,
  })
}

/** How every process of the container starts; an exec session says more. */
export function processOptions({ options, config }: ContainerDefinition, user: ResolvedUser): Omit<ProcessOptions, 'args'> {
  return present<Omit<ProcessOptions, 'args'>>({
    env: withHome(config.Env, user.home),
    cwd: config.WorkingDir === '' ? '/' : config.WorkingDir,
    user: { uid: user.uid, gid: user.gid, additionalGids: user.additionalGids },
    terminal: config.Tty,
    capabilities: present<NonNullable<ProcessOptions['capabilities']>>({
      add: options.capabilitiesAdded,
      drop: options.capabilitiesDropped,
    }),
    privileged: options.privileged,
    noNewPrivileges: readSecurityOptions(options).noNewPrivileges,
    ulimits: options.ulimits,
    oomScoreAdj: options.oomScoreAdjustment,
  })
}

export function withHome(env: readonly string[], home: string): readonly string[] {
  return env.some(variable => variable.startsWith('HOME=')) ? env : [...env, `HOME=${home}`]
}

function consoleOf({ consoleSize }: StartFacts): Pick<ProcessOptions, 'consoleSize'> {
  return consoleSize === undefined ? {} : { consoleSize }
}

function resourceOptions(options: ContainerOptions): ResourceOptions {
  return present<ResourceOptions>({
    memoryBytes: options.memoryBytes,
    memorySwapBytes: options.memorySwapBytes,
    memoryReservationBytes: options.memoryReservationBytes,
    disableOomKiller: options.oomKillDisabled,
    memorySwappiness: options.memorySwappiness,
    cpus: options.cpus,
    cpuShares: options.cpuShares,
    cpuPeriodUs: options.cpuPeriodMicroseconds,
    cpuQuotaUs: options.cpuQuotaMicroseconds,
    cpuRealtimePeriodUs: options.cpuRealtimePeriodMicroseconds,
    cpuRealtimeRuntimeUs: options.cpuRealtimeRuntimeMicroseconds,
    cpusetCpus: options.cpusetCpus,
    cpusetMems: options.cpusetMems,
    pidsLimit: options.pidsLimit,
    blkioWeight: options.blockIoWeight,
  })
}

export interface SecurityOptions {
  readonly noNewPrivileges: boolean
  /** undefined: the default, which a privileged container has not. */
  readonly seccomp: 'default' | 'unconfined' | undefined
  /** A file of the host with a profile in docker's or OCI's form. */
  readonly seccompFile: string | undefined
  readonly systemPathsShown: boolean
}

/** Docker's `--security-opt`. Throws `invalidArgument` for what is none. AppArmor and SELinux are left alone. */
export function readSecurityOptions({ securityOptions = [] }: ContainerOptions): SecurityOptions {
  let noNewPrivileges = false
  let seccomp: SecurityOptions['seccomp']
  let seccompFile: string | undefined
  let systemPathsShown = false
  for (const text of securityOptions) {
    const [, key = '', value = ''] = /^([^=:]+)(?:[=:](.*))?$/s.exec(text) ?? []
    if (key === 'no-new-privileges' && ['', 'true', 'false'].includes(value)) noNewPrivileges = value !== 'false'
    else if (key === 'seccomp' && value === 'unconfined') seccomp = 'unconfined'
    else if (key === 'seccomp' && value === 'builtin') seccomp = 'default'
    else if (key === 'seccomp' && value !== '') seccompFile = value
    else if (key === 'systempaths' && value === 'unconfined') systemPathsShown = true
    else if (key !== 'apparmor' && key !== 'label') {
      throw new StrataError(
        'invalidArgument',
        'STRATA_INVALID_SECURITY_OPTION',
        `Cannot use security option "${text}": there is none of that name`,
      )
    }
  }
  return { noNewPrivileges, seccomp, seccompFile, systemPathsShown }
}

/** A device of the host, or all that are in a directory of the host, under the names that they have in the container. */
function resolveDevice({ hostPath, containerPath, access }: DeviceOptions): readonly BundleDevice[] {
  try {
    const stats = lstatSync(hostPath)
    if (stats.isDirectory()) {
      return readdirSync(hostPath).flatMap(name => {
        const below = lstatSync(join(hostPath, name))
        const isWanted = below.isDirectory() || below.isCharacterDevice() || below.isBlockDevice()
        return isWanted ? resolveDevice({ hostPath: join(hostPath, name), containerPath: join(containerPath, name), access }) : []
      })
    }
    if (!stats.isCharacterDevice() && !stats.isBlockDevice()) {
      throw new StrataError('invalidArgument', 'STRATA_NOT_A_DEVICE', `Cannot use device "${hostPath}": it is not a device`)
    }
    const device = {
      type: stats.isBlockDevice() ? ('b' as const) : ('c' as const),
      path: containerPath,
      ...deviceNumber(stats.rdev),
      fileMode: stats.mode & 0o777,
      uid: stats.uid,
      gid: stats.gid,
    }
    return [{ device, access }]
  } catch (error) {
    throw systemError(`use device "${hostPath}"`, error)
  }
}

/** The C library's packing of a device number. makedev(3) */
function deviceNumber(rdev: number): { readonly major: number; readonly minor: number } {
  const packed = BigInt(rdev)
  return {
    major: Number(((packed >> 8n) & 0xfffn) | ((packed >> 32n) & 0xfffff000n)),
    minor: Number((packed & 0xffn) | ((packed >> 12n) & 0xffffff00n)),
  }
}

/** `c 42:* rwm`, as the kernel's device cgroup has it. */
function parseDeviceRule(text: string): RuntimeDeviceRule {
  const [, type, major = '', minor = '', access] = /^([acb]) (\d{1,10}|\*):(\d{1,10}|\*) ([rwm]{1,3})$/.exec(text) ?? []
  if (type === undefined || access === undefined) {
    throw new StrataError(
      'invalidArgument',
      'STRATA_INVALID_DEVICE_RULE',
      `Cannot use device rule "${text}": expected such as "c 42:* rwm"`,
    )
  }
  return {
    allow: true,
    ...(type === 'a' ? {} : { type: type as 'b' | 'c' }),
    ...(major === '*' ? {} : { major: Number(major) }),
    ...(minor === '*' ? {} : { minor: Number(minor) }),
    access,
  }
}

/** Without the keys that are undefined. */
function present<T extends object>(values: { readonly [K in keyof T]: T[K] | undefined }): T {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as T
}
