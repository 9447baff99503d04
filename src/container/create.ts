import { randomBytes } from 'node:crypto'
import { existsSync, mkdirSync } from 'node:fs'
import { open, readFile } from 'node:fs/promises'
import { currentProcess, errnoOf, findProgram, isStrataError, StrataError, systemError } from '../base/index.ts'
import { parseNetworkMode } from '../network/index.ts'
import { formatPlatform } from '../oci/index.ts'
import { bundleOptions, readSecurityOptions } from './bundlePlan.ts'
import type { ContainerConfigJson } from './inspect.ts'
import type { ContainerImage, Installation } from './installation.ts'
import { checkLog } from './logFile.ts'
import { mergeConfig } from './mergedConfig.ts'
import type { MountRecord } from './mountRecord.ts'
import { type MountSource, parseVolumesFrom, planMounts } from './mountPlan.ts'
import { checkName, randomName } from './names.ts'
import { checkNetworkOptions } from './networkConflicts.ts'
import type { ContainerOptions } from './options.ts'
import { type ContainerDefinition, type ContainerRecord, INITIAL_STATE, isPassing } from './record.ts'
import { removeIfUnfinished, removeLocked } from './remove.ts'

/** A container that exists for nobody yet: `finish` or the start makes it visible. */
export interface UnfinishedContainer {
  readonly record: ContainerRecord
  readonly warnings: readonly string[]
}

/**
 * Makes a container: its record, its layer, its volumes and what they are filled with. Until its state
 * is set to another than `creating` nobody sees it, and when this process dies, nobody will.
 */
export async function createContainer(
  installation: Installation,
  options: ContainerOptions,
  image: ContainerImage,
): Promise<UnfinishedContainer> {
  const id = randomBytes(32).toString('hex')
  const definition = await define(installation, { id, options, image })
  const warnings = await check(installation, { id, definition })
  await using cidFile = options.cidFile === undefined ? undefined : await CidFile.create(options.cidFile)
  ensureVolumes(installation, definition.mounts)
  const record = await insert(installation, { id, definition })
  try {
    await installation.snapshots.prepare(id, image.chainId, { passing: isPassing(definition), unmounted: true })
    mkdirSync(installation.paths.directory(id), { recursive: true, mode: 0o710 })
    if (definition.mounts.some(mount => mount.type === 'volume' && mount.copyUp)) {
      const { fillVolumes } = await import('./fillVolumes.ts')
      await fillVolumes(installation, record)
    }
    await cidFile?.write(id)
  } catch (error) {
    await discard(installation, record)
    throw error
  }
  return { record, warnings }
}

/** Shows a container that is complete. */
export function finishContainer(installation: Installation, id: string): void {
  installation.records.update(id, () => INITIAL_STATE)
}

/** Removes a container that could not be made or started. What fails here is left to `recover`. */
export async function discard(installation: Installation, record: ContainerRecord): Promise<void> {
  using lock = await installation.locks.acquire(record.id)
  await removeLocked(installation, record, { lock, volumes: true }).catch((error: unknown) => {
    installation.logger.warn('a container could not be removed', { id: record.id, error })
  })
}

interface Wanted {
  readonly id: string
  readonly options: ContainerOptions
  readonly image: ContainerImage
}

async function define(installation: Installation, { id, options, image }: Wanted): Promise<ContainerDefinition> {
  if (options.autoRemove === true && options.restart !== undefined && options.restart.policy !== 'no') {
    throw new StrataError('invalidArgument', 'STRATA_INVALID_RESTART', 'Cannot remove a container at its end and restart it: choose one')
  }
  if (options.volumeDriver !== undefined && options.volumeDriver !== '' && options.volumeDriver !== 'local') {
    throw new StrataError(
      'unsupported',
      'STRATA_NO_VOLUME_DRIVER',
      `Cannot use volume driver "${options.volumeDriver}": there is only "local"`,
    )
  }
  const storageOption = Object.keys(options.storageOptions ?? {})[0]
  if (storageOption !== undefined) {
    const { driverName } = installation.snapshots
    throw new StrataError(
      'unsupported',
      'STRATA_NO_STORAGE_OPTION',
      `Cannot use storage option "${storageOption}": the storage driver ${driverName} has none for containers`,
    )
  }
  checkLog(options)
  const process = image.config.config ?? {}
  const sources = (options.volumesFrom ?? []).map((text): MountSource => {
    const { container, access } = parseVolumesFrom(text)
    return { mounts: installation.records.find(container).definition.mounts, access }
  })
  const mounts = planMounts(options, Object.keys(process.Volumes ?? {}), sources)
  const anonymous = mounts.flatMap(mount => (mount.type === 'volume' && mount.anonymous ? [mount.target] : []))
  const { seccompFile } = readSecurityOptions(options)
  const config = mergeConfig(process, options, { id, volumes: anonymous })
  return {
    options: resolveContainers(installation, options),
    image: {
      id: image.id,
      name: image.name,
      platform: formatPlatform({ os: image.config.os, architecture: image.config.architecture, ...variantOf(image) }),
      ...(image.chainId === undefined ? {} : { chainId: image.chainId }),
    },
    config: { ...config, ...sharedNames(installation, options) },
    mounts,
    driver: installation.snapshots.driverName,
    ...(options.init === true ? { initProgram: await findInit() } : {}),
    ...(seccompFile === undefined ? {} : { seccompProfile: await readProfile(seccompFile) }),
  }
}

/** In the network of another container it has that one's name, too. */
function sharedNames(installation: Installation, { network = '' }: ContainerOptions): Partial<ContainerConfigJson> {
  const mode = parseNetworkMode(network)
  if (mode.kind !== 'container') return {}
  const { Hostname, Domainname } = installation.records.find(mode.container).definition.config
  return { Hostname, Domainname }
}

function variantOf({ config }: ContainerImage): { readonly variant?: string } {
  return config.variant === undefined ? {} : { variant: config.variant }
}

/** Containers that are named in `container:…` are held to by their ids: names move. */
function resolveContainers(installation: Installation, options: ContainerOptions): ContainerOptions {
  const resolve = (text: string): string => `container:${installation.records.find(text.slice('container:'.length)).id}`
  const isContainer = (text: string | undefined): text is string => text?.startsWith('container:') === true
  if (options.userNamespace !== undefined && options.userNamespace !== '' && options.userNamespace !== 'host') {
    throw new StrataError(
      'unsupported',
      'STRATA_NO_USER_NAMESPACE',
      `Cannot use user namespace "${options.userNamespace}": containers run in the host's`,
    )
  }
  const mode = parseNetworkMode(options.network ?? '')
  return {
    ...options,
    ...(mode.kind === 'container' ? { network: resolve(options.network!) } : {}),
    ...(isContainer(options.pid) ? { pid: resolve(options.pid) } : {}),
    ...(isContainer(options.ipc) ? { ipc: resolve(options.ipc) } : {}),
  }
}

/** Static programs only: the image need not have a C library. */
async function findInit(): Promise<string> {
  for (const name of ['catatonit', 'tini-static', 'docker-init']) {
    const path = await findProgram(name)
    if (path !== undefined) return path
  }
  throw new StrataError('unavailable', 'STRATA_NO_INIT', 'Cannot run an init program in the container: none is installed', {
    hint: 'Install one, for example with `apt-get install catatonit`, or leave out --init.',
  })
}

const PROFILE_LIMIT = 4 * 1024 * 1024

async function readProfile(path: string): Promise<string> {
  try {
    const text = await readFile(path, 'utf8')
    if (text.length <= PROFILE_LIMIT) return text
    throw new StrataError('resourceExhausted', 'STRATA_TOO_LARGE', `Cannot read "${path}": it has more than ${PROFILE_LIMIT} bytes`)
  } catch (error) {
    throw systemError(`read the seccomp profile "${path}"`, error)
  }
}

/** Plans the container as its start will, to refuse now what can be known now, and to tell what this machine cannot do. */
async function check(
  installation: Installation,
  { id, definition }: Pick<ContainerRecord, 'id' | 'definition'>,
): Promise<readonly string[]> {
  const { planBundle, parseSignal } = await import('../runtime/index.ts')
  if (definition.config.StopSignal !== undefined) parseSignal(definition.config.StopSignal)
  for (const mount of definition.mounts) {
    if (mount.type !== 'bind' || mount.createSource || existsSync(mount.source)) continue
    throw new StrataError('invalidArgument', 'STRATA_INVALID_MOUNT', `Cannot mount "${mount.source}": it does not exist on this machine`)
  }
  const record: ContainerRecord = { id, definition, name: '', createdAt: new Date(), state: INITIAL_STATE }
  const mounts = definition.mounts.map(({ target }) => ({ kind: 'tmpfs', target }) as const)
  const user = { uid: 0, gid: 0, additionalGids: [], home: '/' }
  // The seccomp filter is the costly part of a plan and says nothing here.
  const options = { ...bundleOptions(record, { rootfs: '/', user, mounts, namespaces: {} }), seccomp: 'unconfined' as const }
  return [...checkNetworkOptions(definition.options), ...planBundle(options, await installation.facts()).warnings]
}

function ensureVolumes(installation: Installation, mounts: readonly MountRecord[]): void {
  for (const mount of mounts) {
    if (mount.type !== 'volume') continue
    installation.volumes.create({
      name: mount.volume,
      anonymous: mount.anonymous,
      ...(mount.labels === undefined ? {} : { labels: mount.labels }),
      ...(mount.driverOptions === undefined ? {} : { driverOptions: mount.driverOptions }),
    })
  }
}

async function insert(
  installation: Installation,
  { id, definition }: Pick<ContainerRecord, 'id' | 'definition'>,
): Promise<ContainerRecord> {
  const wanted = definition.options.name === undefined ? undefined : checkName('container', definition.options.name.replace(/^\//, ''))
  for (let attempt = 0; ; attempt += 1) {
    const name = wanted ?? randomName(attempt)
    const record: ContainerRecord = {
      id,
      name,
      createdAt: new Date(),
      definition,
      state: { ...INITIAL_STATE, status: 'creating', owner: currentProcess() },
    }
    try {
      installation.records.insert(record)
      return record
    } catch (error) {
      if (!isStrataError(error) || error.code !== 'STRATA_NAME_IN_USE') throw error
      if (wanted !== undefined && !(await removeIfUnfinished(installation, name))) throw error
    }
  }
}

/** The file that gets a container's id; removed again when there is no container for it. */
class CidFile implements AsyncDisposable {
  readonly #path: string
  #isWritten = false

  private constructor(path: string) {
    this.#path = path
  }

  static async create(path: string): Promise<CidFile> {
    try {
      await (await open(path, 'wx', 0o644)).close()
      return new CidFile(path)
    } catch (error) {
      if (errnoOf(error) !== 'EEXIST') throw systemError(`write the container id to "${path}"`, error)
      throw new StrataError('conflict', 'STRATA_CID_FILE_EXISTS', `Cannot write the container id to "${path}": the file exists`, {
        hint: 'Remove it, or name another one with --cidfile.',
      })
    }
  }

  async write(id: string): Promise<void> {
    const { writeFile } = await import('node:fs/promises')
    await writeFile(this.#path, id)
    this.#isWritten = true
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#isWritten) return
    const { rm } = await import('node:fs/promises')
    await rm(this.#path, { force: true })
  }
}
