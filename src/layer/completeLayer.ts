import { constants } from 'node:fs'
import { rm, writeFile } from 'node:fs/promises'
import { errnoOf, readIfExists, systemError } from '../base/index.ts'
import {
  close,
  copyFile,
  CURRENT_DIRECTORY,
  linkAt,
  makeDirectoryAt,
  makeNodeAt,
  openAt,
  openBeneath,
  openDirectoryAt,
  readDirectory,
  readXattrsAt,
  setTimesFd,
  setXattrAt,
  type Stat,
  statAt,
  statFd,
  symlinkAt,
  unlinkAt,
} from '../host/index.ts'
import { removeOtherXattrs, setAttributesAt } from './attributes.ts'
import type { Attributes } from './entry.ts'
import { LayerDirectory, type LayerModel, subtree } from './layerModel.ts'
import { isDisplaced, missingLinkTarget } from './linkTargets.ts'
import { type Found, inDirectory, isOpaque, LowerStack, readlinkOf, splitLast } from './lowerStack.ts'
import { directoriesAbove } from './pathOrder.ts'
import { isOverlayXattr, isWhiteoutDevice, OPAQUE_VALUE, OPAQUE_XATTR, WHITEOUT_DEVICE } from './whiteout.ts'

/*
 * A layer directory in overlayfs' form is made before the layers below it are there. What cannot be
 * known then is written beside the directory, as `<directory>.pending`, and done when it can be known.
 */

interface Pending {
  /** Directories that take the attributes of the one below, the root ('') included. */
  readonly implied: readonly string[]
  /** Directories with whiteouts in them. */
  readonly hiding: readonly string[]
  /** Hard links to files below: [name, target]. */
  readonly links: readonly (readonly [string, string])[]
  readonly opaqueRoot: boolean
}

/** Notes what `completeLayer` has to do for the directory that a finished model was written to. */
export async function writePending(directory: string, model: LayerModel): Promise<void> {
  const implied: string[] = []
  const hiding: string[] = []
  for (const node of subtree(model.root)) {
    if (!(node instanceof LayerDirectory)) continue
    if (node.implied) implied.push(node.path)
    if (node.whiteouts !== undefined) hiding.push(node.path)
  }
  const links = model.lowerLinks.map(node => [node.path, node.inode.lower!] as const)
  if (implied.length + hiding.length + links.length === 0 && !model.root.opaque) return
  await writeFile(pendingPath(directory), JSON.stringify({ implied, hiding, links, opaqueRoot: model.root.opaque } satisfies Pending), {
    mode: 0o600,
  })
}

function pendingPath(directory: string): string {
  return `${directory}.pending`
}

/**
 * Does in a layer directory what needs the layers below: directories that the tar only implies take the
 * attributes of those below, hard links to files below get these copied up, whiteouts that hide nothing
 * go (overlayfs would list them), and an opaque root, which overlayfs does not know, becomes whiteouts.
 *
 * May be called again, also when it has failed, and for directories that no layer was applied to. What a process that is killed
 * leaves is not to be gone on with: a file may have come up in part.
 *
 * @param directory what `applyLayer` wrote in the dialect `overlay`
 * @param lowerDirectories the layers below in the same form, completed, top first
 * Rejects with `invalidArgument` (STRATA_HARD_LINK_TARGET) when the target of a hard link is nowhere.
 */
export async function completeLayer(directory: string, lowerDirectories: readonly string[]): Promise<void> {
  const text = await readIfExists(pendingPath(directory))
  if (text === undefined) return
  const pending = JSON.parse(text.toString()) as Pending
  try {
    using completion = new Completion(directory, lowerDirectories)
    completion.run(pending)
  } catch (error) {
    throw systemError('complete layer', error)
  }
  await rm(pendingPath(directory))
}

class Completion implements Disposable {
  readonly #root: number
  readonly #below: LowerStack
  /** The names of hard links to files below. */
  readonly #linkNames = new Set<string>()
  /** Where the copy of a file below is whose own name the layer hides. */
  readonly #hiddenCopies = new Map<string, string>()

  constructor(directory: string, lowerDirectories: readonly string[]) {
    this.#below = new LowerStack(lowerDirectories)
    this.#root = openDirectoryAt(CURRENT_DIRECTORY, directory)
  }

  [Symbol.dispose](): void {
    close(this.#root)
    this.#below[Symbol.dispose]()
  }

  run({ implied, hiding, links, opaqueRoot }: Pending): void {
    for (const directory of hiding) this.#dropIdleWhiteouts(directory)
    if (opaqueRoot) this.#hideBelowRoot()
    for (const [path] of links) this.#linkNames.add(path)
    for (const [path, target] of links) this.#link(path, target)
    for (const directory of implied) this.#inherit(directory)
  }

  #dropIdleWhiteouts(directory: string): void {
    if (this.#below.hasDirectory(directory)) return
    this.#changing(directory, fd => {
      for (const { name } of readDirectory(fd)) {
        const stat = statAt(fd, name)
        if (isWhiteoutDevice({ type: stat.type, device: stat.rdev })) unlinkAt(fd, name)
      }
    })
  }

  #link(path: string, target: string): void {
    const resolved = this.#below.resolve(target, at => this.#own(at)?.type === 'directory')
    if (resolved === undefined || isDisplaced(this.#linkNames, resolved) || directoriesAbove(resolved).some(at => this.#isReplaced(at)))
      throw missingLinkTarget(path, target, undefined)
    const own = this.#own(resolved)
    if (own !== undefined && !isWhiteoutDevice({ type: own.type, device: own.rdev })) {
      if (own.type === 'directory') throw missingLinkTarget(path, target, undefined)
      this.#linkOwn(resolved, path)
      return
    }
    const found = this.#below.find(resolved)
    if (found === undefined || found.stat.type === 'directory') throw missingLinkTarget(path, target, undefined)
    if (own !== undefined || !this.#makeParents(splitLast(resolved).directory)) {
      // The layer hides the target: only the new names show what it had.
      const copy = this.#hiddenCopies.get(resolved)
      if (copy !== undefined) this.#linkOwn(copy, path)
      else {
        this.#copyUp(found, path)
        this.#hiddenCopies.set(resolved, path)
      }
      return
    }
    this.#copyUp(found, resolved)
    this.#linkOwn(resolved, path)
  }

  /** Tells whether the layer has something else than a directory at a path; whiteouts only hide. */
  #isReplaced(path: string): boolean {
    const own = this.#own(path)
    return own !== undefined && own.type !== 'directory' && !isWhiteoutDevice({ type: own.type, device: own.rdev })
  }

  #linkOwn(target: string, path: string): void {
    const to = splitLast(path)
    const from = splitLast(target)
    this.#changing(to.directory, toFd => {
      unlinkIfExists(toFd, to.name)
      inDirectory(this.#root, from.directory, fromFd => linkAt(fromFd, from.name, toFd, to.name))
    })
  }

  /** Makes the directories of a path that is copied up, as they are below; false where the layer hides them or what is in them. */
  #makeParents(path: string): boolean {
    const { directory, name } = splitLast(path)
    if (path !== '' && !this.#makeParents(directory)) return false
    const own = this.#own(path)
    if (own !== undefined) return own.type === 'directory' && (path === '' || !inDirectory(this.#root, directory, fd => isOpaque(fd, name)))
    this.#changing(directory, fd => makeDirectoryAt(fd, name, 0o700))
    this.#inherit(path)
    return true
  }

  #copyUp(found: Found, path: string): void {
    const { directory, name } = splitLast(path)
    const from = splitLast(found.path)
    this.#changing(directory, to => {
      unlinkIfExists(to, name)
      const { stat } = found
      if (stat.type === 'symlink') symlinkAt(readlinkOf(found), to, name)
      else if (stat.type === 'file') inDirectory(found.root, from.directory, fd => copyContent(fd, from.name, { directory: to, name }))
      else if (stat.type !== 'directory') makeNodeAt(to, name, stat.type, { mode: 0o600, device: stat.rdev })
      setAttributesAt(to, name, { type: stat.type, ...attributesOf(found) })
    })
  }

  /** overlayfs never looks for the mark of an opaque directory on a root. */
  #hideBelowRoot(): void {
    this.#changing('', fd => {
      for (const name of this.#below.names('')) {
        const own = this.#own(name)
        if (own === undefined) makeNodeAt(fd, name, 'character', { mode: 0, device: WHITEOUT_DEVICE })
        else if (own.type === 'directory') setXattrAt(fd, name, { key: OPAQUE_XATTR, value: OPAQUE_VALUE })
      }
    })
  }

  #inherit(path: string): void {
    const found = this.#below.find(path)
    if (found?.stat.type !== 'directory') return
    const { directory, name } = splitLast(path)
    inDirectory(this.#root, directory, fd => {
      setAttributesAt(fd, path === '' ? '.' : name, { type: 'directory', ...attributesOf(found) })
    })
  }

  #own(path: string): Stat | undefined {
    const { directory, name } = splitLast(path)
    try {
      return inDirectory(this.#root, directory, fd => statAt(fd, path === '' ? '.' : name))
    } catch (error) {
      const errno = errnoOf(error)
      if (errno === 'ENOENT' || errno === 'ENOTDIR' || errno === 'ELOOP') return undefined
      throw error
    }
  }

  /** Changes the names in a directory without a trace in its time. */
  #changing(path: string, change: (fd: number) => void): void {
    const fd = openBeneath(this.#root, path, constants.O_RDONLY | constants.O_DIRECTORY)
    try {
      const { modifiedAt } = statFd(fd)
      change(fd)
      setTimesFd(fd, { modifiedAt })
    } finally {
      close(fd)
    }
  }
}

/** What a node below has and its copy takes; what overlayfs keeps for itself stays behind. */
function attributesOf({ root, path, stat }: Found): Attributes {
  const { directory, name } = splitLast(path)
  const xattrs = inDirectory(root, directory, fd => readXattrsAt(fd, name))
  for (const key of xattrs.keys()) if (isOverlayXattr(key)) xattrs.delete(key)
  return { mode: stat.mode, uid: stat.uid, gid: stat.gid, modifiedAt: stat.modifiedAt, xattrs }
}

function copyContent(from: number, fromName: string, to: { readonly directory: number; readonly name: string }): void {
  const source = openAt(from, fromName, constants.O_RDONLY | constants.O_NOFOLLOW)
  try {
    const copy = openAt(to.directory, to.name, constants.O_CREAT | constants.O_EXCL | constants.O_WRONLY | constants.O_NOFOLLOW, 0o600)
    try {
      copyFile(source, copy)
    } finally {
      close(copy)
    }
  } finally {
    close(source)
  }
}

function unlinkIfExists(directory: number, name: string): void {
  try {
    unlinkAt(directory, name)
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error
  }
}

/** Gives the root of one tree the attributes of another's: owner, mode, xattrs and time. */
export function copyRootAttributes(from: string, to: string): void {
  const source = openDirectoryAt(CURRENT_DIRECTORY, from)
  try {
    setRootAttributes(to, attributesOf({ root: source, path: '.', stat: statFd(source) }))
  } finally {
    close(source)
  }
}

/** Gives the root of a tree its attributes; xattrs that are not among them go, those of overlayfs are not taken. */
export function setRootAttributes(directory: string, attributes: Attributes): void {
  const xattrs = new Map([...attributes.xattrs].filter(([name]) => !isOverlayXattr(name)))
  const target = openDirectoryAt(CURRENT_DIRECTORY, directory)
  try {
    removeOtherXattrs(target, '.', xattrs)
    setAttributesAt(target, '.', { ...attributes, xattrs, type: 'directory' })
  } finally {
    close(target)
  }
}
