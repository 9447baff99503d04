import type { Digest, DiffId } from '../oci/index.ts'
import type { Timestamp } from '../tar/index.ts'

/** What a node has besides its name and content. */
export interface Attributes {
  /** Permission bits with setuid, setgid and sticky: 0 to 0o7777. */
  readonly mode: number
  readonly uid: number
  readonly gid: number
  readonly modifiedAt: Timestamp
  readonly xattrs: ReadonlyMap<string, Uint8Array>
}

/** What a layer can hold. Sockets exist in trees but never in layers. */
export type NodeType = 'file' | 'directory' | 'symlink' | 'character' | 'block' | 'fifo'

export interface DeviceNumber {
  readonly major: number
  readonly minor: number
}

/** A piece of content of a sparse file: `size` bytes at `offset` of the file; what lies between pieces is zeros. */
export interface SparseExtent {
  readonly offset: number
  readonly size: number
}

/** A name that a layer adds or replaces. Paths have no leading slash and no `.` or `..`; the root is ''. */
export interface LayerNode extends Attributes {
  readonly path: string
  readonly type: NodeType
  /** Logical bytes of content; 0 for everything but files. */
  readonly size: number
  readonly linkTarget?: string
  readonly device?: DeviceNumber
  /**
   * This name is a hard link. The path is that of the first name of the same inode in this layer, whose
   * attributes, size and data are repeated here; where this layer has no such path, it names a file of the layers below,
   * and size, data and attributes are unknown (zeros).
   */
  readonly linkOf?: string
  /**
   * A directory that the tar does not name but puts something into. Where the layers below have a
   * directory it takes that one's attributes; otherwise those given here hold (0755, 0:0, time 0).
   */
  readonly implied?: boolean
  /** A directory that hides everything that the layers below have in it. */
  readonly opaque?: boolean
  /** Where the payload begins in the plain layer tar, in bytes. */
  readonly dataOffset: number
  /** Bytes of payload in the plain layer tar; differs from `size` for sparse files. */
  readonly storedSize: number
  readonly sparse?: readonly SparseExtent[]
  /** SHA-256 of the content, where it has been computed. */
  readonly digest?: Digest
}

/** A name of the layers below that this layer hides. */
export interface Whiteout {
  readonly path: string
  readonly type: 'whiteout'
}

export type LayerEntry = LayerNode | Whiteout

/** The table of what one layer holds, without duplicates: the last tar entry of a path has won. */
export interface LayerIndex {
  readonly diffId: DiffId
  /** Size of the plain layer tar. */
  readonly tarBytes: number
  /** Logical bytes of all files, an inode counted once: what docker prints as SIZE. */
  readonly contentBytes: number
  /** Entries with the root, which every layer has. */
  readonly entryCount: number
  /**
   * Something in this layer means different things above different layers (implied directories, hard
   * links to files below, an opaque root, whiteouts): `completeLayer` has work to do.
   */
  readonly dependsOnLower: boolean
  /** The entry of exactly this path. Costs a binary search per component. */
  get(path: string): LayerEntry | undefined
  /** What the layer has directly in a directory, sorted by name bytes; nothing for other paths. */
  children(path: string): Iterable<LayerEntry>
  /** Every entry, a directory before its children, names sorted by their bytes. The root comes first. */
  entries(): Iterable<LayerEntry>
  /** The files that have payload in the tar, in the order of the tar, each inode once by its first name. */
  payloads(): Iterable<LayerNode>
}
