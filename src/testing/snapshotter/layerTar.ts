import { encodeTarHeader, TAR_END, type TarHeader, tarPadding } from '../../tar/index.ts'

/** One member of a layer tar. */
export type Member = TarHeader & { readonly content?: Uint8Array }

export type MemberAttributes = Partial<Pick<TarHeader, 'mode' | 'uid' | 'gid' | 'modifiedAt' | 'xattrs' | 'device'>>

const PLAIN: Omit<TarHeader, 'type' | 'path'> = {
  linkPath: '',
  mode: 0o644,
  uid: 0,
  gid: 0,
  userName: '',
  groupName: '',
  size: 0,
  modifiedAt: { seconds: 1_000_000_000, nanoseconds: 0 },
  xattrs: new Map(),
}

/** A regular file. */
export function file(path: string, content: string | Uint8Array = '', attributes: MemberAttributes = {}): Member {
  const bytes = Buffer.from(content)
  return { ...PLAIN, ...attributes, type: 'file', path, size: bytes.length, content: bytes }
}

export function directory(path: string, attributes: MemberAttributes = {}): Member {
  return { ...PLAIN, mode: 0o755, ...attributes, type: 'directory', path }
}

export function symlink(path: string, linkPath: string, attributes: MemberAttributes = {}): Member {
  return { ...PLAIN, mode: 0o777, ...attributes, type: 'symlink', path, linkPath }
}

export function hardlink(path: string, linkPath: string): Member {
  return { ...PLAIN, type: 'hardlink', path, linkPath }
}

export function special(path: string, type: 'character' | 'block' | 'fifo', attributes: MemberAttributes = {}): Member {
  return { ...PLAIN, ...attributes, type, path }
}

/** Hides what the layers below have at this path. image-spec layer.md#whiteouts */
export function whiteout(path: string): Member {
  const slash = path.lastIndexOf('/') + 1
  return file(`${path.slice(0, slash)}.wh.${path.slice(slash)}`)
}

/** Hides what the layers below have in this directory ('' is the root). image-spec layer.md#opaque-whiteout */
export function opaque(path: string): Member {
  return file(path === '' ? '.wh..wh..opq' : `${path}/.wh..wh..opq`)
}

/** The plain layer tar of these members, in this order. */
export function layerTar(...members: readonly Member[]): Buffer {
  const parts: Uint8Array[] = []
  for (const { content = Buffer.alloc(0), ...header } of members) parts.push(encodeTarHeader(header), content, tarPadding(content.length))
  return Buffer.concat([...parts, TAR_END])
}
