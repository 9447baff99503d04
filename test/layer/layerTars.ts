import { CURRENT_DIRECTORY, removeTreeAt } from '../../src/host/index.ts'
import { mkdir, mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createHash } from 'node:crypto'
import { type LayerIndex, decodeLayerIndex, directoryTree, type Dialect, type ReadableTree, type TreeNode } from '../../src/layer/index.ts'
import { writePending } from '../../src/layer/completeLayer.ts'
import { LayerApplier, type LayerLimits } from '../../src/layer/layerApplier.ts'
import { LayerTreeWriter } from '../../src/layer/layerTreeWriter.ts'
import { TarHeadersWriter } from '../../src/layer/tarHeaders.ts'
import { encodeTarHeader, TAR_END, type TarHeader, tarPadding } from '../../src/tar/index.ts'

/** A member of a layer tar under test. */
export type Member = TarHeader & { readonly content?: Uint8Array }

export type MemberAttributes = Partial<Pick<TarHeader, 'mode' | 'uid' | 'gid' | 'modifiedAt' | 'xattrs'>>

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

export const dir = (path: string, attributes: MemberAttributes = {}): Member => ({
  ...PLAIN,
  mode: 0o755,
  ...attributes,
  type: 'directory',
  path,
})
export const symlink = (path: string, linkPath: string, attributes: MemberAttributes = {}): Member => ({
  ...PLAIN,
  mode: 0o777,
  ...attributes,
  type: 'symlink',
  path,
  linkPath,
})
export const hardlink = (path: string, linkPath: string, attributes: MemberAttributes = {}): Member => ({
  ...PLAIN,
  ...attributes,
  type: 'hardlink',
  path,
  linkPath,
})
export const fifo = (path: string, attributes: MemberAttributes = {}): Member => ({ ...PLAIN, ...attributes, type: 'fifo', path })
export const device = (path: string, type: 'character' | 'block', major: number, minor: number): Member => ({
  ...PLAIN,
  type,
  path,
  device: { major, minor },
})

export function file(path: string, content: string | Uint8Array = '', attributes: MemberAttributes = {}): Member {
  const bytes = typeof content === 'string' ? Buffer.from(content) : content
  return { ...PLAIN, ...attributes, type: 'file', path, size: bytes.length, content: bytes }
}

/** `.wh.<last name>` beside the path. */
export function whiteout(path: string): Member {
  const slash = path.lastIndexOf('/') + 1
  return file(`${path.slice(0, slash)}.wh.${path.slice(slash)}`)
}

export const opaque = (directory: string): Member => file(directory === '' ? '.wh..wh..opq' : `${directory}/.wh..wh..opq`)

export function tarOf(...members: readonly Member[]): Buffer {
  const parts: Uint8Array[] = []
  for (const { content = Buffer.alloc(0), ...header } of members) parts.push(encodeTarHeader(header), content, tarPadding(content.length))
  return Buffer.concat([...parts, TAR_END])
}

/** A directory for one test, removed at its end. */
export async function scratchDirectory(t: { after(clean: () => Promise<void>): void }): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'strata-layer-'))
  // Node's rm cannot remove paths near PATH_MAX.
  t.after(async () => removeTreeAt(CURRENT_DIRECTORY, path))
  return path
}

export async function makeDirectory(parent: string, name: string): Promise<string> {
  const path = join(parent, name)
  await mkdir(path, { mode: 0o755 })
  return path
}

export interface AppliedHere {
  readonly index: LayerIndex
  readonly diffId: string
  readonly strippedXattrs: number
}

export interface HereOptions {
  readonly dialect?: Dialect
  readonly headersPath?: string
  readonly limits?: LayerLimits
  readonly chunkBytes?: number
}

/** Applies in this thread, cut into chunks, as the worker does. */
export async function applyHere(tar: Uint8Array, directory: string | undefined, options: HereOptions = {}): Promise<AppliedHere> {
  const { dialect = 'overlay', headersPath, limits, chunkBytes = 64 * 1024 } = options
  const applier = new LayerApplier({
    ...(directory === undefined ? {} : { writer: model => new LayerTreeWriter(directory, model, dialect) }),
    ...(headersPath === undefined ? {} : { headers: new TarHeadersWriter(headersPath) }),
    ...(limits === undefined ? {} : { limits }),
  })
  try {
    for (let at = 0; at < tar.length; at += chunkBytes) applier.write(tar.subarray(at, at + chunkBytes))
    const pass = applier.finish()
    if (directory !== undefined && dialect === 'overlay') await writePending(directory, pass.model)
    return { index: decodeLayerIndex(Buffer.concat(pass.index.parts)), diffId: pass.diffId, strippedXattrs: pass.strippedXattrs }
  } finally {
    applier.close()
  }
}

export function indexOf(...members: readonly Member[]): Promise<LayerIndex> {
  return applyHere(tarOf(...members), undefined).then(applied => applied.index)
}

/** What a test compares of a node. Hard links are shown by the names that share the inode. */
export type Picture = Record<string, string>

export interface PictureOptions {
  readonly links?: boolean
  readonly rootTime?: boolean
}

/** Everything about every node of a tree, by path. */
export async function pictureOf(tree: ReadableTree, { links = true, rootTime = true }: PictureOptions = {}): Promise<Picture> {
  const picture: Picture = {}
  const names = new Map<string, string[]>()
  const inodes = new Map<string, string>()
  const visit = async (path: string): Promise<void> => {
    const node = (await tree.lstat(path))!
    picture[path] = await describe(tree, path, node, path !== '' || rootTime)
    if (node.type !== 'directory') {
      inodes.set(path, node.inode)
      names.set(node.inode, [...(names.get(node.inode) ?? []), path])
    } else for (const name of await tree.list(path)) await visit(path === '' ? name : `${path}/${name}`)
  }
  await visit('')
  if (links) for (const [path, inode] of inodes) picture[path] += ` ${names.get(inode)!.toSorted().join('=')}`
  return picture
}

async function describe(tree: ReadableTree, path: string, node: TreeNode, time: boolean): Promise<string> {
  const hash = createHash('sha256')
  if (node.type === 'file') for await (const chunk of tree.open(path)) hash.update(chunk)
  const xattrs = [...node.xattrs]
    .filter(([name]) => !name.startsWith('trusted.overlay.'))
    .map(([name, value]) => `${name}=${Buffer.from(value).toString('hex')}`)
    .toSorted()
  const { seconds, nanoseconds } = node.modifiedAt
  return [
    node.type,
    node.type === 'symlink' ? node.linkTarget : node.mode.toString(8),
    `${node.uid}:${node.gid}`,
    time ? `${seconds}.${nanoseconds}` : '',
    node.size,
    node.device === undefined ? '' : `${node.device.major}:${node.device.minor}`,
    node.type === 'file' ? hash.digest('hex').slice(0, 12) : '',
    ...xattrs,
  ].join(' ')
}

export async function pictureOfDirectory(path: string, options: PictureOptions = {}): Promise<Picture> {
  const tree = directoryTree(path)
  try {
    return await pictureOf(tree, options)
  } finally {
    await tree.close()
  }
}

export async function bytesOf(stream: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  for await (const chunk of stream) chunks.push(Uint8Array.from(chunk))
  return Buffer.concat(chunks)
}

export const needsRoot: string | false = process.getuid?.() === 0 ? false : 'needs root: owners, devices and trusted xattrs'
