import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { makeDirectory, StrataError } from '../base/index.ts'
import type { BundleOptions, NamespaceOptions, RuntimeFacts } from './bundleOptions.ts'
import { INIT_TARGET, planMounts, rootPropagation } from './mountPlan.ts'
import { planProcess } from './processPlan.ts'
import { planResources } from './resources.ts'
import { UNLIMITED } from './rlimits.ts'
import type { NamespaceKind, RuntimeDeviceRule, RuntimeLinux, RuntimeSpec, SeccompProfile } from './runtimeSpec.ts'
import { formatSeccomp } from './seccomp.ts'
import { compileSeccomp } from './seccompFilter.ts'
import { defaultSeccompPolicy } from './seccompPolicy.ts'
import { planSysctls } from './sysctls.ts'

/** What crun 1.8 and runc 1.1 read. */
const OCI_VERSION = '1.0.2'

/** Paths whose content tells of, or changes, the machine; shown as empty. docs.docker.com "Docker security" */
const MASKED_PATHS = [
  ...'acpi asound interrupts kcore keys latency_stats sched_debug scsi timer_list timer_stats'.split(' ').map(name => `/proc/${name}`),
  '/sys/devices/virtual/powercap',
  '/sys/firmware',
]

const READONLY_PATHS = 'bus fs irq sys sysrq-trigger'.split(' ').map(name => `/proc/${name}`)

/**
 * The OCI bundle of a container: docker's defaults where the options say nothing. Pure: the same
 * options on the same machine give the same bundle, and nothing is looked up.
 *
 * `warnings` are sentences on what this machine cannot do and was left out; docker prints them as WARNING.
 * Throws `invalidArgument` for options that no container can have.
 */
export function planBundle(options: BundleOptions, facts: RuntimeFacts): { spec: RuntimeSpec; warnings: readonly string[] } {
  if (!options.rootfs.startsWith('/')) throw invalid(`the root file system "${options.rootfs}" is not an absolute path`)
  const uts = options.namespaces?.uts ?? 'private'
  const hostname = uts === 'host' ? undefined : options.hostname
  if (hostname !== undefined && (hostname === '' || Buffer.byteLength(hostname) > 64 || hostname.includes('\0'))) {
    throw invalid(`the host name "${hostname}" has not 1 to 64 bytes`)
  }
  const { process, warnings: processWarnings } = planProcess(withHostname(options, hostname), facts)
  const { linux, filter, warnings } = planLinux(options, facts, process.capabilities.bounding)
  const annotations = { ...options.annotations, ...(filter === undefined ? {} : { [FILTER_ANNOTATION]: filter.toString('base64') }) }
  const spec: RuntimeSpec = {
    ociVersion: OCI_VERSION,
    process,
    root: { path: options.rootfs, readonly: options.readonlyRootfs === true },
    ...(hostname === undefined ? {} : { hostname }),
    ...(uts === 'host' || options.domainname === undefined ? {} : { domainname: options.domainname }),
    mounts: planMounts(options, facts),
    ...(Object.keys(annotations).length === 0 ? {} : { annotations }),
    linux,
  }
  return { spec, warnings: [...processWarnings, ...warnings] }
}

/** docker tells every process the container's name, and puts the init program, if there is one, before its arguments. */
function withHostname(options: BundleOptions, hostname: string | undefined): BundleOptions['process'] {
  const { process } = options
  const env = process.env ?? []
  const known = hostname === undefined || env.some(variable => variable.startsWith('HOSTNAME='))
  return {
    ...process,
    env: known ? env : [`HOSTNAME=${hostname}`, ...env],
    args: options.initProgram === undefined ? process.args : [INIT_TARGET, '--', ...process.args],
  }
}

function planLinux(
  options: BundleOptions,
  facts: RuntimeFacts,
  capabilities: readonly string[],
): { linux: RuntimeLinux; filter: Buffer | undefined; warnings: readonly string[] } {
  const privileged = options.process.privileged === true
  const { resources, warnings } = planResources(options.resources ?? {}, facts)
  const propagation = rootPropagation(options.mounts ?? [])
  const { profile, filter } = planSeccomp(options, facts, capabilities)
  const seccomp = facts.seccomp ? profile : undefined
  const devices = [...(privileged ? facts.devices : []), ...(options.devices ?? []).map(({ device }) => device)]
  const linux: RuntimeLinux = {
    namespaces: planNamespaces(options.namespaces ?? {}, facts),
    ...(devices.length === 0 ? {} : { devices }),
    resources: facts.cgroups.layout === 'none' ? {} : { ...resources, devices: deviceRules(options) },
    ...(facts.cgroups.layout === 'none' ? {} : { cgroupsPath: `${options.cgroupParent ?? '/strata'}/${options.id}` }),
    ...(propagation === undefined ? {} : { rootfsPropagation: propagation }),
    ...(seccomp === undefined ? {} : { seccomp }),
    sysctl: planSysctls(options.sysctls ?? {}, options.namespaces ?? {}),
    maskedPaths: options.maskedPaths ?? (privileged ? [] : MASKED_PATHS),
    readonlyPaths: options.readonlyPaths ?? (privileged ? [] : READONLY_PATHS),
  }
  const lost = profile === seccomp ? [] : ['Your kernel does not support seccomp. Container runs without a seccomp profile.']
  return { linux, filter: facts.seccomp ? filter : undefined, warnings: [...warnings, ...lost] }
}

/** By which crun takes a program of the kernel's instead of making one from the profile, which runc goes by. crun(1) */
const FILTER_ANNOTATION = 'run.oci.seccomp_bpf_data'

function planSeccomp(
  options: BundleOptions,
  facts: RuntimeFacts,
  capabilities: readonly string[],
): { profile?: SeccompProfile; filter?: Buffer | undefined } {
  const { seccomp = options.process.privileged === true ? 'unconfined' : 'default' } = options
  if (seccomp === 'unconfined') return {}
  if (seccomp !== 'default') return { profile: seccomp }
  const policy = defaultSeccompPolicy(facts, capabilities)
  return { profile: formatSeccomp(policy, facts), filter: compileSeccomp(policy, facts.architecture) }
}

function planNamespaces(wanted: NamespaceOptions, facts: RuntimeFacts): RuntimeLinux['namespaces'] {
  const cgroup = wanted.cgroup ?? (facts.cgroups.layout === 'v2' ? 'private' : 'host')
  const choices: readonly (readonly [NamespaceKind, 'host' | 'private' | 'none' | { readonly path: string }])[] = [
    ['mount', 'private'],
    ['network', wanted.network ?? 'none'],
    ['pid', wanted.pid ?? 'private'],
    ['ipc', wanted.ipc ?? 'private'],
    ['uts', wanted.uts ?? 'private'],
    ['cgroup', cgroup],
  ]
  return choices
    .filter(([, choice]) => choice !== 'host')
    .map(([type, choice]) => (typeof choice === 'object' ? { type, path: choice.path } : { type }))
}

/** Character devices that every container has: null, zero, full, random, urandom, tty, console, ptmx and the pseudo-terminals. */
const COMMON_DEVICES: readonly (readonly [major: number, minor?: number])[] = [
  [1, 3],
  [1, 5],
  [1, 7],
  [1, 8],
  [1, 9],
  [5, 0],
  [5, 1],
  [5, 2],
  [136],
]

/** runtime-spec config-linux.md#allowed-device-list: the last rule that matches decides. Making any node is allowed, using it is not. */
function deviceRules(options: BundleOptions): readonly RuntimeDeviceRule[] {
  if (options.process.privileged === true) return [{ allow: true, access: 'rwm' }]
  const given = (options.devices ?? []).map(({ device: { type, major, minor }, access }): RuntimeDeviceRule => {
    if (!/^[rwm]{1,3}$/.test(access)) throw invalid(`the device access "${access}" is not made of r, w and m`)
    return { allow: true, type: type === 'b' ? 'b' : 'c', major, minor, access }
  })
  return [
    { allow: false, access: 'rwm' },
    { allow: true, type: 'c', access: 'm' },
    { allow: true, type: 'b', access: 'm' },
    ...COMMON_DEVICES.map(([major, minor]): RuntimeDeviceRule => ({
      allow: true,
      type: 'c',
      major,
      ...(minor === undefined ? {} : { minor }),
      access: 'rwm',
    })),
    ...given,
    ...(options.deviceRules ?? []),
  ]
}

/**
 * Writes `directory/config.json`, which only the owner may read: it holds the environment. Runtime
 * state needs no fsync; a bundle that a crash cut short is written anew.
 */
export async function writeBundle(directory: string, spec: RuntimeSpec): Promise<void> {
  await makeDirectory(directory)
  await writeFile(join(directory, 'config.json'), formatSpec(spec), { mode: 0o600 })
}

/** A number that JSON.stringify writes as it stands here (ECMAScript's JSON.rawJSON, which TypeScript does not know yet). */
const RAW_UNLIMITED: unknown = (JSON as unknown as { rawJSON(text: string): unknown }).rawJSON('18446744073709551615')

/** JSON in which RLIM_INFINITY is the 64-bit integer that no double can hold. */
export function formatSpec(spec: object): string {
  return JSON.stringify(spec, (_, value: unknown) => (value === UNLIMITED ? RAW_UNLIMITED : value))
}

function invalid(state: string): StrataError {
  return new StrataError('invalidArgument', 'STRATA_INVALID_BUNDLE', `Cannot plan the container: ${state}`)
}
