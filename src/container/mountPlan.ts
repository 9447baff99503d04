import { randomBytes } from 'node:crypto'
import { posix } from 'node:path'
import { StrataError } from '../base/index.ts'
import type { MountRecord, Propagation } from './mountRecord.ts'
import { checkName } from './names.ts'
import type { ContainerOptions, MountOptions } from './options.ts'

/** A container whose mounts `--volumes-from` takes. */
export interface MountSource {
  readonly mounts: readonly MountRecord[]
  readonly access: 'ro' | 'rw'
}

/**
 * The mounts of a container. At one target the more explicit word wins: `-v`, `--mount` and `--tmpfs`
 * over `--volumes-from` over the image's volumes.
 *
 * @param imageVolumes targets that the image calls volumes
 * Throws `invalidArgument` (STRATA_INVALID_MOUNT) for what cannot be mounted and for a target that is given twice.
 */
export function planMounts(
  options: ContainerOptions,
  imageVolumes: readonly string[],
  sources: readonly MountSource[],
): readonly MountRecord[] {
  const explicit = [
    ...(options.binds ?? []).map(parseBind),
    ...(options.mounts ?? []).map(resolveMount),
    ...Object.entries(options.tmpfs ?? {}).map(([target, words]) => resolveTmpfs(target, words)),
  ]
  const planned = new Map<string, MountRecord>()
  for (const mount of explicit) {
    if (planned.has(mount.target)) throw invalid(mount.target, 'it is given more than once')
    planned.set(mount.target, mount)
  }
  for (const { mounts, access } of sources) {
    for (const mount of mounts) {
      if (mount.type === 'tmpfs' || explicit.some(({ target }) => target === mount.target)) continue
      planned.set(mount.target, { ...mount, readOnly: mount.readOnly || access === 'ro' })
    }
  }
  for (const volume of imageVolumes) {
    const target = checkTarget(volume)
    if (!planned.has(target)) planned.set(target, anonymousVolume(target))
  }
  return [...planned.values()]
}

/** `container[:ro|rw]`. */
export function parseVolumesFrom(text: string): { readonly container: string; readonly access: 'ro' | 'rw' } {
  const [, container = '', access = 'rw'] = /^([^:]+)(?::(.*))?$/.exec(text) ?? []
  // SELinux relabelling has no meaning here.
  const word = access.split(',').find(each => each !== 'z' && each !== 'Z') ?? 'rw'
  if (container !== '' && (word === 'ro' || word === 'rw')) return { container, access: word }
  throw new StrataError('invalidArgument', 'STRATA_INVALID_MOUNT', `Cannot take the volumes of "${text}": expected container[:ro|rw]`)
}

const PROPAGATIONS: ReadonlySet<string> = new Set(['private', 'rprivate', 'shared', 'rshared', 'slave', 'rslave'])
/** Words of other systems that docker takes and that change nothing. */
const IGNORED: ReadonlySet<string> = new Set(['z', 'Z', 'cached', 'delegated', 'consistent', 'rbind'])

/** `source:target[:words]`, `target` alone for an anonymous volume. */
function parseBind(text: string): MountRecord {
  const parts = text.split(':')
  if (parts.length > 3 || parts.includes('')) throw invalid(text, 'expected [source:]target[:options]')
  if (parts.length === 1) return anonymousVolume(checkTarget(text))
  const [source = '', target = '', mode = ''] = parts
  const words = mode === '' ? [] : mode.split(',')
  let readOnly = false
  let copyUp = true
  let recursive = true
  let propagation: Propagation = 'rprivate'
  for (const word of words) {
    if (word === 'ro') readOnly = true
    else if (word === 'nocopy') copyUp = false
    else if (word === 'bind') recursive = false
    else if (PROPAGATIONS.has(word)) propagation = word as Propagation
    else if (word !== 'rw' && !IGNORED.has(word)) throw invalid(text, `"${word}" is not an option of a mount`)
  }
  const placed = { target: checkTarget(target), readOnly, asMount: false, mode }
  if (source.startsWith('/')) {
    return { type: 'bind', source: posix.normalize(source), createSource: true, propagation, recursive, ...placed }
  }
  return { type: 'volume', volume: checkName('volume', source), anonymous: false, copyUp, ...placed, mode: mode === '' ? 'z' : mode }
}

function resolveMount(mount: MountOptions): MountRecord {
  const target = checkTarget(mount.target)
  const readOnly = mount.readOnly === true
  switch (mount.type) {
    case 'bind': {
      const { source } = mount
      if (source === undefined || !source.startsWith('/')) throw invalid(target, 'the source of a bind is not an absolute path')
      const { propagation = 'rprivate', recursive, createSource } = mount.bind ?? {}
      return {
        type: 'bind',
        source: posix.normalize(source),
        target,
        readOnly,
        asMount: true,
        createSource: createSource === true,
        propagation,
        recursive: recursive !== 'disabled',
        mode: '',
      }
    }
    case 'volume': {
      const { noCopy, subpath, labels, driver, driverOptions } = mount.volume ?? {}
      if (driver !== undefined && driver !== '' && driver !== 'local') throw noDriver(driver)
      const own = mount.source === undefined || mount.source === ''
      return {
        ...(own
          ? anonymousVolume(target)
          : { type: 'volume', volume: checkName('volume', mount.source), anonymous: false, target, mode: 'z' }),
        type: 'volume',
        readOnly,
        asMount: true,
        copyUp: noCopy !== true && subpath === undefined,
        ...(subpath === undefined ? {} : { subpath }),
        ...(labels === undefined ? {} : { labels }),
        ...(driverOptions === undefined ? {} : { driverOptions }),
      }
    }
    case 'tmpfs': {
      const { sizeBytes, mode } = mount.tmpfs ?? {}
      const words = [
        ...(sizeBytes === undefined ? [] : [`size=${sizeBytes}`]),
        ...(mode === undefined ? [] : [`mode=${mode.toString(8)}`]),
        ...(readOnly ? ['ro'] : []),
      ]
      return { type: 'tmpfs', target, readOnly, asMount: true, options: words }
    }
    case 'image':
      throw new StrataError(
        'unsupported',
        'STRATA_IMAGE_MOUNT',
        `Cannot mount image "${mount.source ?? ''}" at "${target}": image mounts are not supported`,
      )
    default:
      return mount.type satisfies never
  }
}

function resolveTmpfs(target: string, text: string): MountRecord {
  const options = text.split(',').filter(word => word !== '')
  return { type: 'tmpfs', target: checkTarget(target), readOnly: options.includes('ro'), asMount: false, options }
}

function anonymousVolume(target: string): MountRecord & { readonly type: 'volume' } {
  return {
    type: 'volume',
    volume: randomBytes(32).toString('hex'),
    anonymous: true,
    copyUp: true,
    target,
    readOnly: false,
    asMount: false,
    mode: '',
  }
}

/** An absolute, normalized path of the container that is not its root. What lies in /proc the runtime part refuses. */
function checkTarget(target: string): string {
  if (!target.startsWith('/')) throw invalid(target, 'the target is not an absolute path')
  if (target.includes('\0')) throw invalid('', 'the target has a NUL byte')
  const normal = posix.normalize(target).replace(/(?!^)\/$/, '')
  if (normal === '/') throw invalid(target, 'the target is the root of the container')
  return normal
}

export function noDriver(driver: string): StrataError {
  return new StrataError('unsupported', 'STRATA_NO_VOLUME_DRIVER', `Cannot use volume driver "${driver}": there is only "local"`)
}

function invalid(what: string, state: string): StrataError {
  return new StrataError('invalidArgument', 'STRATA_INVALID_MOUNT', `Cannot mount "${what}": ${state}`)
}
