import type { ByteStream } from '../base/index.ts'
import type { Attributes, ByteRange, DeviceNumber, ReadableTree } from '../layer/index.ts'

/** Where the content of a new file comes from. It stays readable, and the same, as long as the file exists. */
export interface FileSource {
  /** In bytes. */
  readonly size: number
  open(range: ByteRange): ByteStream
}

/** What a name is to become: its type and what only that type has. */
export type NodeKind =
  | { readonly type: 'file'; readonly content?: FileSource }
  | { readonly type: 'directory' | 'fifo' | 'socket' }
  | { readonly type: 'symlink'; readonly linkTarget: string }
  | { readonly type: 'character' | 'block'; readonly device: DeviceNumber }

/** What is made. Owner and group are root's, the time is now, and there are no xattrs, where nothing else is said. */
export type NewNode = NodeKind & Pick<Attributes, 'mode'> & Partial<Attributes>

/** Attributes that change; an absent one stays as it is. */
export type AttributeChanges = Partial<Omit<Attributes, 'xattrs'>>

/**
 * A tree that can be changed, name by name: what a union writes its copies and deletions to. Marks of deletions
 * are ordinary nodes here. As on a disk, a change of names sets the time of their directory, and a change
 * of content that of the file.
 *
 * Methods reject with Node-shaped errors (`code` ENOENT, EEXIST, ENOTDIR, ENOTEMPTY, …). Paths are those
 * of ReadableTree: nothing is followed.
 */
export interface WritableTree extends ReadableTree {
  /** Makes what is not there yet, with exactly these attributes. */
  create(path: string, node: NewNode): Promise<void>
  /** Gives what stands at `existing`, which is no directory, the further name `path`. */
  link(existing: string, path: string): Promise<void>
  /** Removes a name, or an empty directory. */
  remove(path: string): Promise<void>
  /** Moves a name, with all that is below it, to one that is free. */
  rename(from: string, to: string): Promise<void>
  setAttributes(path: string, changes: AttributeChanges): Promise<void>
  /** Sets one extended attribute; undefined removes it, if it is there. */
  setXattr(path: string, key: string, value: Uint8Array | undefined): Promise<void>
  /** Writes into a file; what lies between its end and `position` becomes zeros. */
  write(path: string, position: number, bytes: Uint8Array): Promise<void>
  /** Cuts a file off, or extends it with zeros. */
  truncate(path: string, size: number): Promise<void>
}
