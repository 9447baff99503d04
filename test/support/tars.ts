import { encodeTarHeader, TAR_END, tarPadding } from '../../src/tar/index.ts'

/** A tar of files and symlinks, the same bytes for the same names and contents. */
export function tarOf(files: Readonly<Record<string, string | Uint8Array | { readonly link: string }>>): Buffer {
  const parts = Object.entries(files).flatMap(([path, content]) => {
    const isLink = typeof content === 'object' && 'link' in content
    const bytes = isLink ? new Uint8Array() : Buffer.from(content)
    const header = {
      type: isLink ? ('symlink' as const) : ('file' as const),
      path,
      linkPath: isLink ? content.link : '',
      mode: 0o755,
      uid: 0,
      gid: 0,
      userName: '',
      groupName: '',
      size: bytes.length,
      modifiedAt: { seconds: 0, nanoseconds: 0 },
      xattrs: new Map<string, Uint8Array>(),
    }
    return [encodeTarHeader(header), bytes, tarPadding(bytes.length)]
  })
  return Buffer.concat([...parts, TAR_END])
}
