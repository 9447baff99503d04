/** A moment, as timespec has it: `nanoseconds` (0 to 999,999,999) are added to `seconds`, also before 1970. */
export interface Timestamp {
  readonly seconds: number
  readonly nanoseconds: number
}

export type TarEntryType = 'file' | 'directory' | 'symlink' | 'hardlink' | 'character' | 'block' | 'fifo'

/** A piece of a sparse file that has bytes in the archive; between the regions are holes of zeros. In bytes of the logical file. */
export interface SparseRegion {
  readonly offset: number
  readonly size: number
}

/** What the headers of one archive member say. Names are in the form of base's decodeFileName. */
export interface TarEntry {
  readonly type: TarEntryType
  /** As the archive has it: neither normalized nor checked, perhaps with a trailing slash. */
  readonly path: string
  /** The target of a symlink or hard link; empty for all other types. */
  readonly linkPath: string
  /** Permission, setuid, setgid and sticky bits: 0 to 0o7777. */
  readonly mode: number
  /** As the archive has it: an integer that may be negative or beyond 32 bits. */
  readonly uid: number
  readonly gid: number
  readonly userName: string
  readonly groupName: string
  /** Logical content in bytes, holes included; 0 for all types but `file`. */
  readonly size: number
  /** Saturates at the safe integers when the archive has more. */
  readonly modifiedAt: Timestamp
  readonly accessedAt?: Timestamp
  readonly changedAt?: Timestamp
  readonly xattrs: ReadonlyMap<string, Uint8Array>
  readonly device?: { readonly major: number; readonly minor: number }
  /** Regions in order, not overlapping, none empty. Absent for a file without holes. */
  readonly sparse?: readonly SparseRegion[]
  /** Where the first header block of this member starts (its PAX or long-name header if it has one), in bytes of the archive. */
  readonly headerOffset: number
  /** Where its payload starts. */
  readonly dataOffset: number
  /** Bytes of payload in the archive, without padding: `size`, or the sum of the sparse regions. */
  readonly storedSize: number
}

/** What a writer needs to know of an entry. Sparse files are written in full: `size` bytes follow. */
export type TarHeader = Omit<TarEntry, 'sparse' | 'headerOffset' | 'dataOffset' | 'storedSize'>

/**
 * Receives an archive. For each member: `raw` with its headers, `entry`, `data` until `storedSize`
 * bytes have come, `endOfEntry`, and then `raw` again with padding and what follows. The chunks of
 * `raw` and `data` in the order of the calls are exactly the bytes of the archive. They are views of
 * the chunks that were written to the parser: copy what is kept longer than the caller keeps those.
 */
export interface TarSink {
  entry(entry: TarEntry): void
  /** Payload of the last entry, as stored. */
  data(chunk: Uint8Array): void
  endOfEntry?(): void
  /** Everything that is not payload: headers, PAX, sparse maps, padding, the end marker and what follows it. */
  raw?(chunk: Uint8Array): void
}

/** Bounds on what an archive may ask for; more rejects with `resourceExhausted` (STRATA_TAR_LIMIT). */
export interface TarLimits {
  /** Members of the archive. Default 5,000,000. */
  readonly entries?: number
  /** Bytes of one PAX header or GNU long name. Default 1 MiB, which is also Go's. */
  readonly headerBytes?: number
  /** Bytes of a path or link target. Default 64 KiB. */
  readonly nameBytes?: number
  /** Regions of one sparse file. Default 131,072. */
  readonly sparseRegions?: number
  /** Logical bytes of one file. Default 16 TiB, the largest file of ext4. */
  readonly fileBytes?: number
}
