import { existsSync, mkdirSync, statSync } from 'node:fs'
import { isStrataError, StrataError, systemError } from '../base/index.ts'
import { ConfinedRoot, mount } from '../host/index.ts'
import { type Endpoint, parseNetworkMode, publishAll } from '../network/index.ts'
import {
  type BundleMount,
  type ConsoleSize,
  type NamespaceOptions,
  parseSeccompProfile,
  planBundle,
  planProcess,
  readRuntimeFacts,
  type ResolvedUser,
  resolveUser,
  type RuntimeFacts,
  type SeccompProfile,
  writeBundle,
} from '../runtime/index.ts'
import { bundleOptions, processOptions, type StartFacts } from './bundlePlan.ts'
import { provideEtc } from './containerEtc.ts'
import { volumeSource } from './files/containerFiles.ts'
import type { Installation } from './installation.ts'
import { commandLine } from './mergedConfig.ts'
import type { VolumeMount } from './mountRecord.ts'
import { makeMountTargets } from './mountTargets.ts'
import { type ContainerRecord, hasProcess } from './record.ts'
import { mountRootfs } from './rootfs.ts'
import { makeStubs } from './stubs.ts'
import { withContainerUmask } from './umask.ts'

/**
 * Makes everything that a container's process needs before the runtime is called: root file system,
 * volumes, network, its own files in /etc, the bundle. What fails half-way is taken back by `clearStart`.
 */
export async function prepareRun(
  installation: Installation,
  record: ContainerRecord,
  how: { readonly consoleSize?: ConsoleSize | undefined; readonly disposable?: boolean } = {},
): Promise<readonly string[]> {
  const { id, definition } = record
  const { options, config } = definition
  const { cgroups } = await installation.facts()
  const withoutDevices = cgroups.layout === 'none' && options.privileged !== true
  const rootfs = await mountRootfs(installation, id, { disposable: how.disposable === true, withoutDevices })
  const namespaces = await sharedNamespaces(installation, record)
  const endpoint = await connect(installation, record)
  const etc = await provideEtc(installation, record, endpoint)
  using root = new ConfinedRoot(rootfs)
  withContainerUmask(() => {
    makeStubs(root, definition.initProgram !== undefined)
    makeWorkingDirectory(root, config.WorkingDir)
  })
  const user = resolveUser(root, config.User, options.groups === undefined ? {} : { groups: options.groups })
  const mounts = await userMounts(installation, record)
  withContainerUmask(() => makeMountTargets(root, definition.mounts))
  const facts: RuntimeFacts = options.privileged === true ? await readRuntimeFacts({ devices: true }) : await installation.facts()
  const start: StartFacts = {
    rootfs,
    user,
    mounts: [...etc, ...mounts],
    namespaces: { ...namespaces, ...(endpoint === undefined ? {} : { network: { path: endpoint.namespacePath } }) },
    consoleSize: how.consoleSize,
    seccomp: definition.seccompProfile === undefined ? undefined : readSeccomp(record, user, facts),
  }
  const { spec, warnings } = planBundle(bundleOptions(record, start), facts)
  await writeBundle(installation.paths.bundle(id), spec)
  return warnings
}

/** A profile may depend on what the container may do. */
function readSeccomp({ definition }: ContainerRecord, user: ResolvedUser, facts: RuntimeFacts): SeccompProfile {
  const { process } = planProcess({ ...processOptions(definition, user), args: commandLine(definition.config) }, facts)
  return parseSeccompProfile(definition.seccompProfile ?? '', facts, process.capabilities.bounding)
}

/** docker makes it where the image has none, in the container layer. */
function makeWorkingDirectory(root: ConfinedRoot, path: string): void {
  if (path === '' || path === '/') return
  try {
    root.makeDirectories(path, 0o755)
  } catch (error) {
    throw systemError(`use "${path}" as the working directory`, error)
  }
}

async function connect(installation: Installation, { id, name, definition }: ContainerRecord): Promise<Endpoint | undefined> {
  const { options, config } = definition
  const mode = parseNetworkMode(options.network ?? '')
  if (mode.kind !== 'bridge' && mode.kind !== 'network') return undefined
  const explicit = options.publish ?? []
  const publish = options.publishAll === true ? publishAll(Object.keys(config.ExposedPorts ?? {}), explicit) : explicit
  return await installation.networks.connect({
    containerId: id,
    containerName: name,
    publish,
    ...(mode.kind === 'network' ? { network: mode.name } : {}),
    ...(options.ipAddress === undefined ? {} : { address: options.ipAddress }),
    ...(options.macAddress === undefined ? {} : { macAddress: options.macAddress }),
  })
}

type SharedNamespaces = Pick<NamespaceOptions, 'network' | 'pid' | 'ipc'>

async function sharedNamespaces(installation: Installation, { definition }: ContainerRecord): Promise<SharedNamespaces> {
  const { network = '', pid = '', ipc = '' } = definition.options
  const of = async (text: string, kind: 'net' | 'pid' | 'ipc'): Promise<'host' | { readonly path: string } | undefined> => {
    if (text === 'host') return 'host'
    if (!text.startsWith('container:')) return undefined
    return { path: `/proc/${await runningPid(installation, text.slice('container:'.length))}/ns/${kind}` }
  }
  const [networkPath, pidPath, ipcPath] = [await of(network, 'net'), await of(pid, 'pid'), await of(ipc, 'ipc')]
  return {
    network: networkPath ?? 'none',
    ...(pidPath === undefined ? {} : { pid: pidPath }),
    ...(ipcPath === undefined ? {} : { ipc: ipcPath }),
  }
}

/** The first process of another container, which must run. */
async function runningPid(installation: Installation, container: string): Promise<number> {
  const other = installation.records.find(container)
  const pid = hasProcess(other.state) ? (other.state.run?.pid ?? (await (await installation.runtime()).state(other.id))?.pid) : undefined
  if (pid !== undefined) return pid
  throw new StrataError(
    'conflict',
    'STRATA_CONTAINER_NOT_RUNNING',
    `Cannot join the namespaces of container "${other.name}": it does not run`,
  )
}

async function userMounts(installation: Installation, { id, definition }: ContainerRecord): Promise<readonly BundleMount[]> {
  const mounts: BundleMount[] = []
  for (const [index, each] of definition.mounts.entries()) {
    switch (each.type) {
      case 'tmpfs':
        mounts.push({ kind: 'tmpfs', target: each.target, options: each.options })
        break
      case 'bind':
        if (each.createSource) makeSource(each.source)
        else if (!existsSync(each.source)) throw missingSource(each.source)
        mounts.push({
          kind: 'bind',
          source: each.source,
          target: each.target,
          readonly: each.readOnly,
          propagation: each.propagation,
          // A file has nothing mounted below it, and crun takes "recursively read-only" for directories alone.
          nonRecursive: !each.recursive || !statSync(each.source).isDirectory(),
        })
        break
      case 'volume':
        mounts.push({
          kind: 'bind',
          source: await openVolume(installation, each, `${installation.paths.bundle(id)}/volume-${index}`),
          target: each.target,
          readonly: each.readOnly,
        })
        break
      default:
        each satisfies never
    }
  }
  return mounts
}

/** Where the runtime finds a volume. A part of one is mounted aside, from a descriptor: what a name in it leads to later does not matter. */
async function openVolume(installation: Installation, { volume, subpath }: VolumeMount, aside: string): Promise<string> {
  await installation.volumes.mount(volume)
  const data = installation.paths.volumeData(volume)
  if (subpath === undefined) return data
  using pins = new DisposableStack()
  try {
    mkdirSync(aside, { mode: 0o700 })
    mount({ type: 'bind', source: volumeSource(data, subpath, pins), options: ['rbind'] }, aside)
  } catch (error) {
    throw systemError(`mount "${subpath}" of volume "${volume}"`, error)
  }
  return aside
}

function makeSource(source: string): void {
  try {
    withContainerUmask(() => mkdirSync(source, { recursive: true, mode: 0o755 }))
  } catch (error) {
    // A file, a socket or a device is a source as well.
    if (existsSync(source)) return
    throw isStrataError(error) ? error : systemError(`make the directory "${source}"`, error)
  }
}

function missingSource(source: string): StrataError {
  return new StrataError('invalidArgument', 'STRATA_INVALID_MOUNT', `Cannot mount "${source}": it does not exist on this machine`)
}
