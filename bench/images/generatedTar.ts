import { encodeTarHeader, TAR_END, tarPadding } from '../../src/tar/index.ts'

const WRITTEN_AT = { seconds: 1_700_000_000, nanoseconds: 0 }

/** A plain file as a member of a tar: owned by root, the same bytes on each machine. `content` may come in pieces. */
export function* tarMember(path: string, size: number, content: Iterable<Uint8Array>, mode = 0o644): Generator<Uint8Array> {
  yield tarHeader(path, size, mode)
  yield* content
  yield tarPadding(size)
}

/** The header alone, for content that comes asynchronously; `tarPadding` follows it. */
export function tarHeader(path: string, size: number, mode = 0o644): Uint8Array {
  return encodeTarHeader({
    type: 'file',
    path,
    linkPath: '',
    mode,
    uid: 0,
    gid: 0,
    userName: '',
    groupName: '',
    size,
    modifiedAt: WRITTEN_AT,
    xattrs: new Map(),
  })
}

/** A tar of small files. */
export function* tarOf(files: Iterable<readonly [path: string, content: Uint8Array, mode?: number]>): Generator<Uint8Array> {
  for (const [path, content, mode] of files) yield* tarMember(path, content.length, [content], mode)
  yield TAR_END
}
