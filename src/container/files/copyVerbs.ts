import { lstatSync, realpathSync, type Stats, statSync } from 'node:fs'
import { posix, resolve } from 'node:path'
import { type ByteStream, errnoOf, observed, StrataError, systemError } from '../../base/index.ts'
import { flatten, type TreeNode } from '../../layer/index.ts'
import type { Installation } from '../installation.ts'
import type { ContainerRecord } from '../record.ts'
import type { CopyOptions, CopyReport, PathStat } from '../requests.ts'
import { openFiles } from './containerFiles.ts'
import { type CopyPlan, type CopyTarget, planCopy, readSource } from './copyPlan.ts'
import { extractTar } from './extractTar.ts'
import { MountedTree, type ResolvedPath } from './mountedTree.ts'
import { subtree } from './subtree.ts'

export interface CopyCall extends CopyOptions {
  readonly signal?: AbortSignal
}

const ROOT = { uid: 0, gid: 0 } as const

/** What is at a path of a container; a link itself unless the path ends with a slash. */
export async function statPath(installation: Installation, record: ContainerRecord, path: string): Promise<PathStat> {
  await using files = await openFiles(installation, record)
  const { contentsOnly, wantsDirectory, name } = readSource(path)
  const found = await findSource(files.tree, path, { followLast: contentsOnly || wantsDirectory })
  return pathStat(name, found.node)
}

/** The path as a tar whose first name is the path's last part. The container's files are held until the tar is read or given up. */
export async function copyFrom(
  installation: Installation,
  record: ContainerRecord,
  { path, followLink }: { readonly path: string } & CopyCall,
): Promise<{ readonly stat: PathStat; readonly tar: ByteStream }> {
  const files = await openFiles(installation, record)
  try {
    const { contentsOnly, wantsDirectory, name } = readSource(path)
    const { path: at, node } = await findSource(files.tree, path, { followLast: followLink === true || wantsDirectory })
    const tree = subtree(files.tree, at, contentsOnly ? undefined : name)
    return { stat: pathStat(name, node), tar: releasing(flatten(tree), files) }
  } catch (error) {
    await files[Symbol.asyncDispose]()
    throw error
  }
}

async function* releasing(bytes: ByteStream, held: AsyncDisposable): AsyncGenerator<Uint8Array> {
  try {
    yield* bytes
  } finally {
    await held[Symbol.asyncDispose]()
  }
}

/** Unpacks a tar, compressed or not, in an existing directory of a container. */
export async function copyTo(
  installation: Installation,
  record: ContainerRecord,
  { path, tar, keepOwners, signal }: { readonly path: string; readonly tar: ByteStream } & CopyCall,
): Promise<CopyReport> {
  await using files = await openFiles(installation, record)
  const { path: directory, node } = await files.tree.resolve(path, { followLast: true })
  if (node === undefined) throw notFound(path)
  if (node.type !== 'directory') throw notDirectory(path)
  const counter = new ByteCounter()
  await extractTar(counter.count(tar), files.tree, directory, { owner: keepOwners === true ? 'keep' : ROOT, signal })
  return counter.report
}

/** As `docker cp CONTAINER:PATH HOSTPATH`. */
export async function copyToHost(
  installation: Installation,
  record: ContainerRecord,
  { path, hostPath, keepOwners, followLink, signal }: { readonly path: string; readonly hostPath: string } & CopyCall,
): Promise<CopyReport> {
  await using files = await openFiles(installation, record)
  const { contentsOnly, wantsDirectory, name } = readSource(path)
  const { path: at, node } = await findSource(files.tree, path, { followLast: followLink === true || wantsDirectory })
  const plan = planCopy({ name, isDirectory: node.type === 'directory', contentsOnly }, hostTarget(hostPath))
  const owner = keepOwners === true ? 'keep' : { uid: process.geteuid?.() ?? 0, gid: process.getegid?.() ?? 0 }
  const target = openHostDirectory(plan, hostPath)
  try {
    const counter = new ByteCounter()
    await extractTar(counter.count(flatten(subtree(files.tree, at, plan.name))), target, '', { owner, signal })
    return counter.report
  } finally {
    await target.close()
  }
}

/** As `docker cp HOSTPATH CONTAINER:PATH`. */
export async function copyFromHost(
  installation: Installation,
  record: ContainerRecord,
  { hostPath, path, keepOwners, followLink, signal }: { readonly hostPath: string; readonly path: string } & CopyCall,
): Promise<CopyReport> {
  const source = openHostSource(hostPath, followLink === true)
  try {
    await using files = await openFiles(installation, record)
    const { path: at, node } = await files.tree.resolve(path, { followLast: true })
    const type = node === undefined ? 'absent' : node.type === 'directory' ? 'directory' : 'other'
    const plan = planCopy(source, { text: path, path: `/${at}`, type })
    const directory = plan.directory.slice(1)
    const counter = new ByteCounter()
    const owner = keepOwners === true ? 'keep' : ROOT
    await extractTar(counter.count(flatten(subtree(source.tree, source.path, plan.name))), files.tree, directory, { owner, signal })
    return counter.report
  } finally {
    await source.tree.close()
  }
}

async function findSource(
  tree: MountedTree,
  path: string,
  how: { readonly followLast: boolean },
): Promise<{ readonly path: string; readonly node: TreeNode }> {
  const { path: at, node }: ResolvedPath = await tree.resolve(path, how)
  if (node === undefined) throw notFound(path)
  if (path.endsWith('/') && node.type !== 'directory') throw notDirectory(path)
  return { path: at, node }
}

/** What is at the target on this machine, links followed as by any program of the user. */
function hostTarget(text: string): CopyTarget {
  const path = resolve(text)
  const stats = statIfThere(path)
  if (stats !== undefined) return { text, path: realpathSync(path), type: stats.isDirectory() ? 'directory' : 'other' }
  return { text, path, type: 'absent' }
}

function statIfThere(path: string): Stats | undefined {
  try {
    return statSync(path)
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined
    throw systemError(`copy to "${path}"`, error)
  }
}

function openHostDirectory({ directory }: CopyPlan, text: string): MountedTree {
  const stats = statIfThere(directory)
  if (stats === undefined) {
    throw new StrataError('notFound', 'STRATA_NO_TARGET_DIRECTORY', `Cannot copy to "${text}": the directory "${directory}" does not exist`)
  }
  if (!stats.isDirectory()) throw notDirectory(directory)
  return new MountedTree([{ path: '', source: directory, readOnly: false }])
}

interface HostSource {
  readonly tree: MountedTree
  readonly path: string
  readonly name: string
  readonly isDirectory: boolean
  readonly contentsOnly: boolean
}

/** A directory of this machine is opened itself, so that nothing but it is read; everything else in its directory. */
function openHostSource(text: string, followLink: boolean): HostSource {
  const { contentsOnly, wantsDirectory } = readSource(text)
  try {
    const follow = followLink || wantsDirectory
    const path = resolve(text)
    const stats = follow ? statSync(path) : lstatSync(path)
    if (wantsDirectory && !stats.isDirectory()) throw notDirectory(text)
    const real = follow ? realpathSync(path) : posix.join(realpathSync(posix.dirname(path)), posix.basename(path))
    const isDirectory = stats.isDirectory()
    const source = isDirectory ? real : posix.dirname(real)
    return {
      tree: new MountedTree([{ path: '', source, readOnly: true }]),
      path: isDirectory ? '' : posix.basename(real),
      name: posix.basename(path),
      isDirectory,
      contentsOnly: contentsOnly || path === '/',
    }
  } catch (error) {
    throw systemError(`copy "${text}"`, error)
  }
}

function pathStat(name: string, node: TreeNode): PathStat {
  const { seconds, nanoseconds } = node.modifiedAt
  return {
    name: name === '' ? '/' : name,
    sizeBytes: node.size,
    type: node.type,
    mode: node.mode,
    modifiedAt: new Date(seconds * 1000 + Math.floor(nanoseconds / 1e6)),
    linkTarget: node.linkTarget ?? '',
  }
}

/** Counts as docker does: the bytes of the archive. */
class ByteCounter {
  #bytes = 0

  count(bytes: ByteStream): ByteStream {
    return observed(bytes, chunk => {
      this.#bytes += chunk.length
    })
  }

  get report(): CopyReport {
    return { bytes: this.#bytes }
  }
}

function notFound(path: string): StrataError {
  return new StrataError('notFound', 'STRATA_NO_SUCH_PATH', `Cannot find "${path}" in the container: no such file or directory`)
}

function notDirectory(path: string): StrataError {
  return new StrataError('invalidArgument', 'STRATA_NOT_A_DIRECTORY', `Cannot copy "${path}": it is not a directory`)
}
