import { randomBytes } from 'node:crypto'
import { lookup } from 'node:dns/promises'
import { mkdirSync } from 'node:fs'
import { isIP } from 'node:net'
import { StrataError } from '../base/index.ts'
import { isMountPoint, mount, type Mount, unmount } from '../host/index.ts'
import { type Metadata, Trash } from '../metadata/index.ts'
import type { ContainerLocks, HeldLock } from './locks.ts'
import { noDriver } from './mountPlan.ts'
import { checkName } from './names.ts'
import type { StringMap } from './options.ts'
import type { ContainerPaths } from './paths.ts'
import type { PruneReport } from './requests.ts'
import { withContainerUmask } from './umask.ts'
import { isInUse, type VolumeRecord, VolumeRecords } from './volumeRecords.ts'
import type { VolumeInspect, VolumeListOptions, VolumeOptions, VolumePruneOptions } from './volumeInspect.ts'
import { treeBytes } from './treeBytes.ts'

interface VolumesOptions {
  readonly root: string
  readonly paths: ContainerPaths
  readonly metadata: Metadata
  readonly locks: ContainerLocks
}

/**
 * Directories that outlive containers. A volume is a record and `volumes/<name>/_data`; with the
 * options `type`, `device` and `o` something is mounted there while a container that has it runs.
 */
export class Volumes {
  readonly records: VolumeRecords
  readonly #paths: ContainerPaths
  readonly #metadata: Metadata
  readonly #locks: ContainerLocks
  readonly #trash: Trash

  constructor({ root, paths, metadata, locks }: VolumesOptions) {
    this.records = new VolumeRecords(metadata)
    this.#paths = paths
    this.#metadata = metadata
    this.#locks = locks
    this.#trash = new Trash(root)
  }

  /** Makes a volume. Rejects with `conflict` when one has the name and other options; the same again changes nothing. */
  create(options: VolumeOptions & { readonly anonymous?: boolean } = {}): VolumeInspect {
    const { driver = 'local', driverOptions = {} } = options
    if (driver !== '' && driver !== 'local') throw noDriver(driver)
    const name = options.name === undefined || options.name === '' ? randomBytes(32).toString('hex') : checkName('volume', options.name)
    checkDriverOptions(name, driverOptions)
    const record = this.ensure(name, {
      anonymous: options.anonymous ?? (options.name === undefined || options.name === ''),
      labels: options.labels ?? {},
      options: driverOptions,
    })
    if (Object.keys(driverOptions).length > 0 && !sameMap(record.options, driverOptions)) {
      throw new StrataError('conflict', 'STRATA_VOLUME_EXISTS', `Cannot create volume "${name}": it exists with other options`)
    }
    return this.#inspect(record)
  }

  /** The volume of that name, made where there is none. */
  ensure(name: string, made: Pick<VolumeRecord, 'anonymous' | 'labels' | 'options'>): VolumeRecord {
    return this.#metadata.transaction(() => {
      const record = this.records.getOrInsert({ name, createdAt: new Date(), ...made })
      const first = withContainerUmask(() => mkdirSync(this.#paths.volumeData(name), { recursive: true, mode: 0o755 }))
      if (first !== undefined) this.#metadata.durability.syncDirectory(this.#paths.volumes)
      return record
    })
  }

  get(name: string): VolumeRecord {
    const record = this.records.get(name)
    if (record === undefined) throw new StrataError('notFound', 'STRATA_NO_SUCH_VOLUME', `Cannot find volume "${name}": no such volume`)
    return record
  }

  inspect(name: string): VolumeInspect {
    return this.#inspect(this.get(name))
  }

  async list(options: VolumeListOptions & { readonly size?: boolean } = {}): Promise<readonly VolumeInspect[]> {
    const uses = this.records.uses()
    const found: VolumeInspect[] = []
    for (const record of this.records.list()) {
      const used = uses.get(record.name) ?? 0
      if (!isListed(record, options) || (options.dangling !== undefined && options.dangling !== (used === 0))) continue
      const usage = options.size === true ? { UsageData: { Size: await this.bytes(record.name), RefCount: used } } : {}
      found.push({ ...this.#inspect(record), ...usage })
    }
    return found
  }

  remove(name: string, options: { readonly force?: boolean } = {}): void {
    if (options.force === true && this.records.get(name) === undefined) return
    this.get(name)
    this.records.delete(name, () => this.moveAside(name))
  }

  async prune(options: VolumePruneOptions = {}): Promise<PruneReport<string>> {
    const removed: string[] = []
    let reclaimedBytes = 0
    for (const record of this.records.list()) {
      const { name, labels } = record
      if (!(record.anonymous || options.all === true)) continue
      if (!hasLabels(labels, options.labels ?? []) || (options.labelsAbsent ?? []).some(label => hasLabels(labels, [label]))) continue
      if (this.records.uses().has(name)) continue
      const bytes = await this.bytes(name)
      try {
        this.remove(name)
      } catch (error) {
        // A container took it meanwhile.
        if (isInUse(error)) continue
        throw error
      }
      removed.push(name)
      reclaimedBytes += bytes
    }
    await this.emptyTrash()
    return { removed, reclaimedBytes }
  }

  /** Takes the files of a volume without a record out of the store; inside the transaction that deleted the record. */
  moveAside(name: string): void {
    this.#trash.moveAside(this.#paths.volume(name))
  }

  async emptyTrash(): Promise<void> {
    await this.#trash.empty()
  }

  bytes(name: string): Promise<number> {
    return treeBytes(this.#paths.volumeData(name))
  }

  lock(name: string): Promise<HeldLock> {
    return this.#locks.acquire(`volume-${name}`)
  }

  /** Mounts what the options of a volume ask for; does nothing for one without, and for one that is mounted. */
  async mount(name: string): Promise<void> {
    const { options } = this.get(name)
    const what = await mountOf(options)
    if (what === undefined) return
    using _ = await this.lock(name)
    const target = this.#paths.volumeData(name)
    if (!isMountPoint(target)) mount(what, target)
  }

  /** Takes the mount of a volume away; only when nobody uses it. */
  async unmount(name: string, isUsed: () => boolean): Promise<void> {
    const record = this.records.get(name)
    if (record === undefined || Object.keys(record.options).length === 0) return
    using _ = await this.lock(name)
    const target = this.#paths.volumeData(name)
    if (!isUsed() && isMountPoint(target)) unmount(target, { detach: true })
  }

  #inspect(record: VolumeRecord): VolumeInspect {
    return {
      CreatedAt: record.createdAt.toISOString(),
      Driver: 'local',
      Labels: record.anonymous
        ? { 'com.docker.volume.anonymous': '', ...record.labels }
        : Object.keys(record.labels).length === 0
          ? null
          : record.labels,
      Mountpoint: this.#paths.volumeData(record.name),
      Name: record.name,
      Options: Object.keys(record.options).length === 0 ? null : record.options,
      Scope: 'local',
    }
  }
}

function isListed({ name, labels }: VolumeRecord, options: VolumeListOptions): boolean {
  if (options.names !== undefined && !options.names.some(part => name.includes(part))) return false
  if (options.drivers !== undefined && !options.drivers.includes('local')) return false
  return hasLabels(labels, options.labels ?? [])
}

/** @param wanted `key` or `key=value`, all of which must be there */
export function hasLabels(labels: StringMap, wanted: readonly string[]): boolean {
  return wanted.every(text => {
    const equals = text.indexOf('=')
    return equals === -1 ? text in labels : labels[text.slice(0, equals)] === text.slice(equals + 1)
  })
}

function sameMap(a: StringMap, b: StringMap): boolean {
  const keys = Object.keys(a)
  return keys.length === Object.keys(b).length && keys.every(key => a[key] === b[key])
}

/** docs.docker.com, `docker volume create`, "Driver-specific options": those of mount(8). `size` wants a disk with quotas. */
function checkDriverOptions(name: string, options: StringMap): void {
  const wrong = (state: string): StrataError =>
    new StrataError('invalidArgument', 'STRATA_INVALID_VOLUME_OPTION', `Cannot create volume "${name}": ${state}`)
  for (const key of Object.keys(options)) {
    if (!['type', 'device', 'o'].includes(key)) throw wrong(`there is no option "${key}"; expected type, device or o`)
  }
  if (Object.keys(options).length > 0 && (options['device'] ?? '') === '') throw wrong('the option "device" is missing')
  if (!isBind(options) && Object.keys(options).length > 0 && (options['type'] ?? '') === '') throw wrong('the option "type" is missing')
}

function isBind(options: StringMap): boolean {
  return (options['o'] ?? '').split(',').some(word => word === 'bind' || word === 'rbind')
}

/** What the options say, as a mount. The kernel's NFS knows no names, so that `addr=` becomes a number here. */
async function mountOf(options: StringMap): Promise<Mount | undefined> {
  const { type = '', device = '', o = '' } = options as { readonly type?: string; readonly device?: string; readonly o?: string }
  if (device === '') return undefined
  const words = o.split(',').filter(word => word !== '')
  if (isBind(options)) return { type: 'bind', source: device, options: words }
  const resolved = type.startsWith('nfs') ? await Promise.all(words.map(resolveAddress)) : words
  return { type, source: device, options: resolved }
}

async function resolveAddress(word: string): Promise<string> {
  const [, host] = /^addr=(.+)$/.exec(word) ?? []
  if (host === undefined || isIP(host) !== 0) return word
  return `addr=${(await lookup(host)).address}`
}
