import { StrataError } from '../base/index.ts'
import type { TarEntry, Timestamp } from '../tar/index.ts'
import type { Attributes, DeviceNumber, NodeType, SparseExtent } from './entry.ts'
import { childPathBytes, quotePath, splitLayerPath, splitLinkTarget } from './layerPath.ts'
import { isOverlayXattr, isReservedName, isWhiteoutDevice, nameMeaning } from './whiteout.ts'

/*
 * What a layer tar means, without a disk: its entries in order become one tree. Nothing here knows the
 * layers below, so the result is the same for every storage driver, and nothing depends on the order of
 * whiteouts and the entries that they stand beside.
 */

export const NO_XATTRS: ReadonlyMap<string, Uint8Array> = new Map()
const EPOCH: Timestamp = { seconds: 0, nanoseconds: 0 }

/** What names point to; hard links share one. */
export class Inode implements Attributes {
  readonly type: NodeType
  mode = 0o755
  uid = 0
  gid = 0
  modifiedAt: Timestamp = EPOCH
  xattrs: ReadonlyMap<string, Uint8Array> = NO_XATTRS
  size = 0
  dataOffset = 0
  storedSize = 0
  sparse: readonly SparseExtent[] | undefined = undefined
  linkTarget: string | undefined = undefined
  device: DeviceNumber | undefined = undefined
  /** How many names of the layer it has. */
  names = 1
  /** For a hard link to a file that this layer does not have: the path of that file in the layers below. */
  lower: string | undefined = undefined

  constructor(type: NodeType) {
    this.type = type
  }
}

/** A name in a directory of the layer. */
export class LayerName {
  readonly name: string
  readonly parent: LayerDirectory | undefined
  inode: Inode

  constructor(name: string, parent: LayerDirectory | undefined, inode: Inode) {
    this.name = ownText(name)
    this.parent = parent
    this.inode = inode
  }

  get path(): string {
    const names: string[] = []
    if (this.parent === undefined) return ''
    names.push(this.name)
    for (let at: LayerName = this.parent; at.parent !== undefined; at = at.parent) names.push(at.name)
    return names.toReversed().join('/')
  }
}

export class LayerDirectory extends LayerName {
  readonly children: Map<string, LayerName> = new Map()
  /** Names of the layers below that the tar hides, also those that the layer has itself. */
  whiteouts: Set<string> | undefined = undefined
  implied = true
  opaque = false
  readonly pathBytes: number

  constructor(name: string, parent: LayerDirectory | undefined) {
    super(name, parent, new Inode('directory'))
    this.pathBytes = parent === undefined ? 0 : childPathBytes(parent.pathBytes, name)
  }
}

/** What became of one tar entry. */
export interface Placement {
  /** The name that the entry now is; undefined for whiteouts and what is ignored. */
  readonly node?: LayerName
  /** A name of the inode that `node` is a hard link of; `node` itself where it was that before. Absent for links to files below. */
  readonly linkOf?: LayerName
  /** The attributes of that inode have become those of this entry. */
  readonly reattributed?: boolean
  /** What had the name before in this layer, taken out of the tree with all below it. */
  readonly replaced?: LayerName
}

const NOTHING: Placement = {}
/** As the kernel's limit for one path (MAXSYMLINKS). */
const SYMLINKS = 40
const LARGEST_ID = 0xffff_fffe
/** Linux's limits of a device number; the kernel cuts off more, which could make 0:0 of it. */
const LARGEST_MAJOR = 0xfff
const LARGEST_MINOR = 0xf_ffff
/** Linux's limit of a symlink's target, in bytes. */
const TARGET_BYTES = 4095

export class LayerModel {
  readonly root: LayerDirectory = new LayerDirectory('', undefined)
  /** Xattrs that only overlayfs may set, and which the tar had. */
  strippedXattrs = 0
  /** Hard links to files of the layers below; complete after `finish`. */
  lowerLinks: LayerName[] = []
  /** Hard links that came before their target; filled by `finish`. */
  readonly lateLinks: { readonly node: LayerName; readonly target: LayerName }[] = []
  readonly #limit: number
  #nodes = 1
  /** Most entries have the time of the one before, and then share it. */
  #time = EPOCH

  /** @param limit how many names the layer may have, those of implied directories included */
  constructor(limit: number) {
    this.#limit = limit
  }

  /**
   * Takes the next entry of the tar.
   *
   * @throws StrataError for names that lead out, whiteouts of nothing, a root that is no directory, 0:0 devices,
   *   entries below a file of the same layer, and past the limits
   */
  place(entry: TarEntry): Placement {
    const names = splitLayerPath(entry.path)
    const name = names.pop()
    if (name === undefined) return this.#placeRoot(entry)
    const meaning = nameMeaning(name)
    if (meaning.says === 'ignored' || names.some(isAufsName)) return NOTHING
    if (names.some(isReservedName)) throw rejected(entry.path, 'STRATA_WHITEOUT_INVALID', 'a whiteout is no directory')
    const parent = this.#directory(names, entry.path)
    if (meaning.says === 'opaque') {
      parent.opaque = true
      return NOTHING
    }
    if (meaning.says === 'whiteout') {
      childPathBytes(parent.pathBytes, meaning.hides)
      parent.whiteouts ??= new Set()
      if (!parent.whiteouts.has(meaning.hides)) this.#count()
      parent.whiteouts.add(meaning.hides)
      return NOTHING
    }
    if (entry.type === 'directory') return this.#placeDirectory(parent, name, entry)
    if (entry.type === 'hardlink') return this.#placeLink(parent, name, entry)
    childPathBytes(parent.pathBytes, name)
    return this.#put(parent, new LayerName(name, parent, this.#inodeOf(entry, entry.type)))
  }

  /**
   * Settles what depends on the whole tar: a directory that is also whited out hides what is below it,
   * and below a directory that hides everything nothing else needs hiding or has something to inherit.
   * A hard link whose target came later gets that.
   *
   * @throws StrataError STRATA_HARD_LINK_TARGET, STRATA_NOT_A_DIRECTORY for links to what no layer can have
   */
  finish(): void {
    this.#bindLinks()
    const pending: { readonly directory: LayerDirectory; readonly alone: boolean }[] = [{ directory: this.root, alone: false }]
    for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
      const { directory, alone } = next
      const childrenAlone = alone || directory.opaque
      if (alone) {
        directory.implied = false
        directory.opaque = false
      }
      for (const child of directory.children.values()) {
        if (!(child instanceof LayerDirectory)) continue
        if (!childrenAlone && directory.whiteouts?.has(child.name) === true) {
          child.opaque = true
          child.implied = false
        }
        pending.push({ directory: child, alone: childrenAlone })
      }
      if (childrenAlone) directory.whiteouts = undefined
      else if (directory.whiteouts !== undefined) {
        for (const name of directory.whiteouts) if (directory.children.has(name)) directory.whiteouts.delete(name)
        if (directory.whiteouts.size === 0) directory.whiteouts = undefined
      }
    }
  }

  #bindLinks(): void {
    const lower: LayerName[] = []
    for (const node of this.lowerLinks) {
      if (!isAttached(node)) continue
      const names = splitLayerPath(node.inode.lower!)
      const name = names.pop()!
      const { directory, missing } = this.#walk(names, node.path)
      const target = missing.length === 0 ? directory.children.get(name) : undefined
      if (target instanceof LayerDirectory) throw rejected(node.path, 'STRATA_HARD_LINK_TARGET', `${quotePath(target.path)} is a directory`)
      if (target?.inode === node.inode) throw rejected(node.path, 'STRATA_HARD_LINK_TARGET', 'it is a hard link to itself')
      if (target !== undefined) {
        node.inode = target.inode
        node.inode.names += 1
      }
      if (node.inode.lower !== undefined) {
        // Symlinks that came later may lead it elsewhere.
        if (target === undefined) node.inode.lower = pathBelow(directory, missing, name)
        lower.push(node)
      } else this.lateLinks.push({ node, target: target! })
    }
    this.lowerLinks = lower
  }

  #placeRoot(entry: TarEntry): Placement {
    if (entry.type !== 'directory') throw rejected(entry.path, 'STRATA_ROOT_NOT_DIRECTORY', `the root cannot become a ${entry.type}`)
    this.#setAttributes(this.root.inode, entry)
    this.root.implied = false
    return NOTHING
  }

  #placeDirectory(parent: LayerDirectory, name: string, entry: TarEntry): Placement {
    const present = parent.children.get(name)
    const directory = present instanceof LayerDirectory ? present : new LayerDirectory(name, parent)
    this.#setAttributes(directory.inode, entry)
    directory.implied = false
    if (directory === present) return NOTHING
    // What stood here until now had hidden a lower directory already.
    directory.opaque = present !== undefined
    return this.#put(parent, directory)
  }

  #placeLink(parent: LayerDirectory, name: string, entry: TarEntry): Placement {
    const names = splitLayerPath(entry.linkPath, 'hard link to')
    const targetName = names.pop()
    if (targetName === undefined) throw rejected(entry.path, 'STRATA_HARD_LINK_TARGET', 'it is a hard link to the root')
    if (names.some(isReservedName) || isReservedName(targetName)) {
      throw rejected(entry.path, 'STRATA_HARD_LINK_TARGET', `${quotePath(entry.linkPath)} is the name of a whiteout`)
    }
    childPathBytes(parent.pathBytes, name)
    const { directory, missing } = this.#walk(names, entry.path)
    const target = missing.length === 0 ? directory.children.get(targetName) : undefined
    if (target instanceof LayerDirectory) {
      throw rejected(entry.path, 'STRATA_HARD_LINK_TARGET', `${quotePath(entry.linkPath)} is a directory`)
    }
    if (target === undefined) {
      const inode = new Inode('file')
      inode.mode = 0
      inode.lower = pathBelow(directory, missing, targetName)
      const link = new LayerName(name, parent, inode)
      this.lowerLinks.push(link)
      return this.#put(parent, link)
    }
    const present = parent.children.get(name)
    for (let at: LayerName | undefined = target; at !== undefined; at = at.parent) {
      if (at === present && at !== target)
        throw rejected(entry.path, 'STRATA_HARD_LINK_TARGET', 'it would replace the directory of its target')
    }
    const reattributed = this.#reattribute(target.inode, entry)
    if (present?.inode === target.inode) return reattributed ? { node: present, linkOf: present, reattributed } : NOTHING
    const link = new LayerName(name, parent, target.inode)
    link.inode.names += 1
    if (link.inode.lower !== undefined) this.lowerLinks.push(link)
    return { ...this.#put(parent, link), linkOf: target, reattributed }
  }

  /** A hard link's own header speaks for the inode too: docker and containerd apply it. Xattrs are only added. */
  #reattribute(inode: Inode, entry: TarEntry): boolean {
    if (inode.lower !== undefined) return false
    const { mode, uid, gid, modifiedAt, xattrs } = inode
    this.#setAttributes(inode, entry, xattrs)
    return (
      inode.mode !== mode ||
      inode.uid !== uid ||
      inode.gid !== gid ||
      inode.modifiedAt.seconds !== modifiedAt.seconds ||
      inode.modifiedAt.nanoseconds !== modifiedAt.nanoseconds ||
      inode.xattrs !== xattrs
    )
  }

  #put(parent: LayerDirectory, node: LayerName): Placement {
    const replaced = parent.children.get(node.name)
    parent.children.set(node.name, node)
    if (replaced === undefined) {
      this.#count()
      return { node }
    }
    for (const gone of subtree(replaced)) gone.inode.names -= 1
    return { node, replaced }
  }

  #count(): void {
    this.#nodes += 1
    if (this.#nodes > this.#limit) {
      throw new StrataError('resourceExhausted', 'STRATA_LAYER_LIMIT', `Cannot apply layer: it has more than ${this.#limit} entries`)
    }
  }

  #inodeOf(entry: TarEntry, type: NodeType): Inode {
    const inode = new Inode(type)
    this.#setAttributes(inode, entry)
    inode.dataOffset = entry.dataOffset
    if (type === 'file') {
      inode.size = entry.size
      inode.storedSize = entry.storedSize
      inode.sparse = entry.sparse
    } else if (type === 'symlink') {
      if (entry.linkPath === '' || entry.linkPath.includes('\0') || Buffer.byteLength(entry.linkPath) > TARGET_BYTES) {
        throw rejected(entry.path, 'STRATA_SYMLINK_INVALID', `a symlink needs a target of 1 to ${TARGET_BYTES} bytes without NUL`)
      }
      inode.linkTarget = entry.linkPath
    } else if (type === 'character' || type === 'block') {
      const device = entry.device ?? { major: 0, minor: 0 }
      if (!(device.major >= 0 && device.major <= LARGEST_MAJOR && device.minor >= 0 && device.minor <= LARGEST_MINOR)) {
        throw rejected(entry.path, 'STRATA_DEVICE_INVALID', `${device.major}:${device.minor} is no device number`)
      }
      inode.device = device
      if (isWhiteoutDevice({ type, device })) {
        throw rejected(entry.path, 'STRATA_WHITEOUT_DEVICE', 'a 0:0 character device would be taken for a deletion')
      }
    }
    return inode
  }

  #setAttributes(inode: Inode, entry: TarEntry, earlier: ReadonlyMap<string, Uint8Array> = NO_XATTRS): void {
    for (const id of [entry.uid, entry.gid]) {
      if (!(id >= 0 && id <= LARGEST_ID)) throw rejected(entry.path, 'STRATA_OWNER_INVALID', `${id} is no user or group id`)
    }
    inode.mode = entry.mode & 0o7777
    inode.uid = entry.uid
    inode.gid = entry.gid
    const { seconds, nanoseconds } = entry.modifiedAt
    if (seconds !== this.#time.seconds || nanoseconds !== this.#time.nanoseconds) this.#time = entry.modifiedAt
    inode.modifiedAt = this.#time
    if (entry.xattrs.size === 0) {
      inode.xattrs = earlier
      return
    }
    const xattrs = new Map(earlier)
    for (const [name, value] of entry.xattrs) {
      if (isOverlayXattr(name)) this.strippedXattrs += 1
      // The parser's values may be views of a whole chunk.
      else xattrs.set(name, Uint8Array.from(value))
    }
    inode.xattrs = xattrs
  }

  /** The directory in which an entry belongs; makes implied ones. */
  #directory(names: readonly string[], path: string): LayerDirectory {
    let { directory, missing } = this.#walk(names, path)
    for (const name of missing) {
      const next: LayerDirectory = new LayerDirectory(name, directory)
      this.#put(directory, next)
      directory = next
    }
    return directory
  }

  /** Follows directories and symlinks of this layer, never above the root; `missing` is what the layer does not have. */
  #walk(names: readonly string[], path: string): { directory: LayerDirectory; missing: string[] } {
    let directory = this.root
    const missing: string[] = []
    const pending = names.toReversed()
    let symlinks = 0
    for (let name = pending.pop(); name !== undefined; name = pending.pop()) {
      if (name === '..') {
        if (missing.pop() === undefined) directory = directory.parent ?? this.root
        continue
      }
      const child = missing.length > 0 ? undefined : directory.children.get(name)
      if (child === undefined) {
        if (isReservedName(name)) throw rejected(path, 'STRATA_WHITEOUT_INVALID', 'a whiteout is no directory')
        missing.push(name)
      } else if (child instanceof LayerDirectory) directory = child
      else if (child.inode.linkTarget !== undefined) {
        symlinks += 1
        if (symlinks > SYMLINKS) throw rejected(path, 'STRATA_SYMLINK_LOOP', 'it leads through too many symlinks')
        if (child.inode.linkTarget.startsWith('/')) directory = this.root
        pending.push(...splitLinkTarget(child.inode.linkTarget).toReversed())
      } else throw rejected(path, 'STRATA_NOT_A_DIRECTORY', `${quotePath(child.path)} is a ${child.inode.type} in the same layer`)
    }
    return { directory, missing }
  }
}

/** A name and everything below it, each directory before what it holds. */
export function* subtree(top: LayerName): Generator<LayerName> {
  const pending = [top]
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    yield next
    if (next instanceof LayerDirectory) for (const child of next.children.values()) pending.push(child)
  }
}

/** V8 makes a part of a text as a view that keeps the whole text in memory, here a path per entry; shorter ones than this it copies. */
const VIEW_LENGTH = 13

function ownText(text: string): string {
  if (text.length < VIEW_LENGTH || /[^\0-\xff]/.test(text)) return text
  return Buffer.from(text, 'latin1').toString('latin1')
}

function pathBelow(directory: LayerDirectory, missing: readonly string[], name: string): string {
  return [directory.path, ...missing, name].filter(part => part !== '').join('/')
}

/** Tells whether a name is still in the tree. */
function isAttached(node: LayerName): boolean {
  for (let at = node; at.parent !== undefined; at = at.parent) if (at.parent.children.get(at.name) !== at) return false
  return true
}

function isAufsName(name: string): boolean {
  return isReservedName(name) && nameMeaning(name).says === 'ignored'
}

function rejected(path: string, code: `STRATA_${string}`, state: string): StrataError {
  return new StrataError('invalidArgument', code, `Cannot apply layer entry ${quotePath(path)}: ${state}`)
}
