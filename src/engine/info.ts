import { readFileSync } from 'node:fs'
import { cpus, hostname, release, tmpdir, totalmem } from 'node:os'
import { errnoOf, isStrataError, packageVersion, TemporaryDirectory } from '../base/index.ts'
import type { Containers } from '../container/index.ts'
import { openRuntime, readRuntimeFacts, type RuntimeFacts } from '../runtime/index.ts'
import type { DriverTrial } from '../snapshot/index.ts'
import { hostPlatform } from './hostPlatform.ts'
import { listImages } from './imageList.ts'
import { findPolicyFile, type PolicyDirectories } from './policyFile.ts'
import type { Stores } from './stores.ts'
import type { EngineInfo, EngineVersion } from './system.ts'

const INFO = ['CREATE TABLE IF NOT EXISTS installation (id TEXT PRIMARY KEY) STRICT;']

/** What there is and what works here, and for what does not: why, and what to do. */
export async function engineInfo(stores: Stores, containers: Containers | undefined, policy: PolicyDirectories): Promise<EngineInfo> {
  const facts = await readRuntimeFacts()
  await using scratch = await TemporaryDirectory.create(tmpdir(), 'strata-info-')
  const runtime = await findRuntime(facts, scratch.path)
  const snapshots = await stores.snapshots()
  const trials = await stores.tryDrivers()
  const all = (await containers?.list({ all: true })) ?? []
  const count = (...statuses: readonly string[]): number => all.filter(({ status }) => statuses.includes(status)).length
  const { controllers, layout, swapLimit } = facts.cgroups
  return {
    ID: installationId(stores),
    Containers: all.length,
    ContainersRunning: count('running', 'restarting'),
    ContainersPaused: count('paused'),
    ContainersStopped: count('created', 'exited', 'dead', 'removing'),
    Images: listImages(stores.images, { all: true }).length,
    Driver: snapshots?.driverName ?? 'none',
    DriverStatus: driverStatus(trials, { used: snapshots?.driverName, isAskedFor: stores.isDriverAskedFor }),
    DockerRootDir: stores.root,
    MemoryLimit: controllers.includes('memory'),
    SwapLimit: swapLimit,
    CpuCfsPeriod: controllers.includes('cpu'),
    CpuCfsQuota: controllers.includes('cpu'),
    CPUShares: controllers.includes('cpu'),
    CPUSet: controllers.includes('cpuset'),
    PidsLimit: controllers.includes('pids'),
    OomKillDisable: layout !== 'v2' && controllers.includes('memory'),
    IPv4Forwarding: readSystemText('/proc/sys/net/ipv4/ip_forward')?.trim() === '1',
    LoggingDriver: 'json-file',
    CgroupDriver: layout === 'none' ? 'none' : 'cgroupfs',
    CgroupVersion: { v1: '1', hybrid: '1', v2: '2', none: '' }[layout] as EngineInfo['CgroupVersion'],
    KernelVersion: release(),
    OperatingSystem: /^PRETTY_NAME="?([^"\n]*)/m.exec(readSystemText('/etc/os-release') ?? '')?.[1] ?? process.platform,
    OSType: hostPlatform().os,
    Architecture: { amd64: 'x86_64', arm64: 'aarch64' }[facts.architecture] ?? facts.architecture,
    NCPU: cpus().length,
    MemTotal: totalmem(),
    Name: hostname(),
    Labels: [],
    ServerVersion: packageVersion(),
    Runtimes: runtime === undefined ? {} : { [runtime.name]: { path: runtime.path } },
    DefaultRuntime: runtime?.name ?? 'none',
    SecurityOptions: facts.seccomp ? ['name=seccomp,profile=builtin'] : [],
    SignaturePolicy: (await findPolicyFile(policy)) ?? '',
    SystemTime: new Date().toISOString(),
    Warnings: warningsOf(facts, {
      runtime: runtime !== undefined,
      driver: snapshots !== undefined,
      durability: stores.metadata.durability.isWanted,
    }),
  }
}

/** Which storage driver is used and why, and of each whether it works here. */
function driverStatus(
  trials: readonly DriverTrial[],
  { used, isAskedFor }: { readonly used: string | undefined; readonly isAskedFor: boolean },
): EngineInfo['DriverStatus'] {
  const best = trials.find(({ obstacle }) => obstacle === undefined)?.name
  return trials.map(({ name, obstacle }) => {
    const state = obstacle === undefined ? 'available' : `not available (${obstacle})`
    if (name !== used) return [name, state]
    if (isAskedFor) return [name, `${state}, used because it is asked for`]
    return [name, `${state}, used because ${name === best ? 'it is the best that works here' : 'the store was made with it'}`]
  })
}

function warningsOf(
  { cgroups, seccomp }: RuntimeFacts,
  has: { readonly runtime: boolean; readonly driver: boolean; readonly durability: boolean },
): readonly string[] {
  const warnings: string[] = []
  if (!has.driver) warnings.push('No storage driver works here: images can be moved and looked at, but not run; run as root')
  if (!has.durability) warnings.push('No fsync: power loss may damage the whole store')
  if (!has.runtime) warnings.push('No container runtime is installed: apt-get install crun')
  if (cgroups.layout === 'none') warnings.push('There are no cgroups here: containers run without limits')
  else {
    for (const controller of ['memory', 'cpu', 'pids']) {
      if (!cgroups.controllers.includes(controller))
        warnings.push(`No ${controller} limit support: the ${controller} controller is not there`)
    }
  }
  if (cgroups.layout === 'hybrid')
    warnings.push('cgroups are hybrid (version 1 with a version 2 tree beside it): limits go through version 1')
  if (!seccomp) warnings.push('No seccomp support: system calls of containers are not filtered')
  return warnings
}

/** Versions of Strata and of the programs that run containers. */
export async function engineVersion(): Promise<EngineVersion> {
  const { os, architecture } = hostPlatform()
  const facts = await readRuntimeFacts()
  await using scratch = await TemporaryDirectory.create(tmpdir(), 'strata-info-')
  const runtime = await findRuntime(facts, scratch.path)
  const version = packageVersion()
  return {
    Platform: { Name: 'Strata Engine' },
    Components: [
      { Name: 'Engine', Version: version, Details: { 'OS/Arch': `${os}/${architecture}`, 'Kernel version': release() } },
      ...(runtime === undefined ? [] : [{ Name: runtime.name, Version: await runtime.version() }]),
    ],
    Version: version,
    ApiVersion: '1.51',
    MinAPIVersion: '1.24',
    Os: os,
    Arch: architecture,
    KernelVersion: release(),
  }
}

/** @param stateDirectory one of its own: an ordinary user may not write where containers are kept */
async function findRuntime(facts: RuntimeFacts, stateDirectory: string): Promise<Awaited<ReturnType<typeof openRuntime>> | undefined> {
  try {
    return await openRuntime({ stateDirectory, facts })
  } catch (error) {
    if (isStrataError(error)) return undefined
    throw error
  }
}

/** Tells one installation from another; made once. */
function installationId(stores: Stores): string {
  stores.metadata.migrate('installation', INFO)
  return stores.metadata.transaction(() => {
    const known = stores.metadata.get<{ id: string }>('SELECT id FROM installation')
    if (known !== undefined) return known.id
    const id = crypto.randomUUID()
    stores.metadata.run('INSERT INTO installation (id) VALUES (?)', id)
    return id
  })
}

function readSystemText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    if (errnoOf(error) !== undefined) return undefined
    throw error
  }
}
