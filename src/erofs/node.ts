/** A time: seconds since 1970, negative before, and nanoseconds from 0 to 999,999,999. */
export interface ErofsTime {
  readonly seconds: number
  readonly nanoseconds: number
}

export interface ErofsAttributes {
  /** Permission bits with setuid, setgid and sticky: 0 to 0o7777. */
  readonly mode: number
  readonly uid: number
  readonly gid: number
  readonly modifiedAt: ErofsTime
  readonly xattrs: ReadonlyMap<string, Uint8Array>
  /** How many names it has, where that is known. */
  readonly names?: number
}

/** A piece of a file's content: `size` bytes at `offset` of the file lie at `position` of a device. */
export interface ErofsExtent {
  readonly offset: number
  readonly size: number
  /** Which of the devices, from 0; -1 is the image itself. */
  readonly device: number
  readonly position: number
}

export interface ErofsFile extends ErofsAttributes {
  readonly type: 'file'
  readonly size: number
  /** Where the content is: pieces in order, what lies between them is zeros; or the bytes themselves, which go into the image. */
  readonly content: readonly ErofsExtent[] | Uint8Array
}

/** What is in a directory; a map, or what gives out nodes when asked for them. Each name is asked for once. */
export interface ErofsChildren {
  keys(): Iterable<string>
  get(name: string): ErofsNode | undefined
}

export interface ErofsDirectory extends ErofsAttributes {
  readonly type: 'directory'
  /** Its attributes can be changed in the image: `attributeChanges`. */
  readonly changeable?: boolean
  /** By name, in the form of base's decodeFileName. */
  readonly children: ErofsChildren
}

export interface ErofsSymlink extends ErofsAttributes {
  readonly type: 'symlink'
  readonly target: string
}

export interface ErofsSpecial extends ErofsAttributes {
  readonly type: 'character' | 'block' | 'fifo' | 'socket'
  readonly device?: { readonly major: number; readonly minor: number }
}

/** What a name stands for. The same object under several names is one inode with hard links. */
export type ErofsNode = ErofsFile | ErofsDirectory | ErofsSymlink | ErofsSpecial

/** A file beside the image that holds data. */
export interface ErofsDevice {
  readonly bytes: number
  /** At most 64 bytes of text that say what it is; the kernel does not look at it. */
  readonly tag?: string
}
