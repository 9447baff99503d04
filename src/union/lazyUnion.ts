import { systemError } from '../base/index.ts'
import type { ByteRange, ReadableTree, TreeNode } from '../layer/index.ts'
import type { Branch, BranchNode } from './branch.ts'
import { fileError } from './fileError.ts'
import { type IndexedLayer, LayerBranch, type TreeBelow } from './layerBranch.ts'
import { lastName, parentPath, sortedNames } from './path.ts'

/** Gets hold of a layer, which may cost a download; called once at most. */
export type OpenLayer = () => Promise<IndexedLayer>

/** A directory that was listed: which branches have a part in it, and which is the first that has each name. */
interface ListedDirectory {
  readonly path: string
  readonly branches: readonly LazyBranch[]
  readonly names: ReadonlyMap<string, number>
}

/** @param layers top first */
export function lazyUnion(layers: readonly OpenLayer[]): LazyUnion {
  const branches: LazyBranch[] = layers.map((open, at) => new LazyBranch(open, () => linkTargets(new LazyUnion(branches.slice(at + 1)))))
  return new LazyUnion(branches)
}

/** What a layer links to are files: of the directories on the way nobody asks for the attributes. */
function linkTargets(union: LazyUnion): TreeBelow {
  return { lstat: path => union.find(path), open: (path, range) => union.open(path, range) }
}

/**
 * What `layerUnion` shows of the same layers, for layers that cost something to open: they are opened from the top
 * down, and none below the one that decides. A path is decided by the first layer that has it or a whiteout of it, that
 * has something else than a directory on the way to it, or an opaque directory there; a listing by the last two.
 * Only a layer with hard links to files below needs those below for them.
 *
 * Methods reject with what opening a layer rejects with, and as those of `layerUnion`.
 */
export class LazyUnion implements ReadableTree {
  readonly #branches: readonly LazyBranch[]
  /** Whoever lists a directory looks at what is in it next. */
  #listed: ListedDirectory | undefined

  /** @param branches top first */
  constructor(branches: readonly LazyBranch[]) {
    this.#branches = branches
  }

  /** As `lstat`, but of a directory that layers only imply the attributes may be made up: for them more layers would have to be opened. */
  async find(path: string): Promise<TreeNode | undefined> {
    for await (const { entry } of this.#entries(path)) return entry === 'whiteout' ? undefined : entry
    return undefined
  }

  async lstat(path: string): Promise<TreeNode | undefined> {
    let top: BranchNode | undefined
    for await (const { entry } of this.#entries(path)) {
      if (entry === 'whiteout') break
      top ??= entry
      if (entry.type !== 'directory') break
      if (entry.implied !== true) {
        const { mode, uid, gid, modifiedAt, xattrs } = entry
        return { ...top, mode, uid, gid, modifiedAt, xattrs }
      }
    }
    return top
  }

  async list(path: string): Promise<readonly string[]> {
    const names = new Map<string, number>()
    const hidden = new Set<string>()
    const branches: LazyBranch[] = []
    for await (const branch of this.#directories(path)) {
      for (const { name, whiteout } of await branch.names(path)) {
        if (names.has(name) || hidden.has(name)) continue
        if (whiteout) hidden.add(name)
        else names.set(name, branches.length)
      }
      branches.push(branch)
    }
    // Without any layer, too, there is a root.
    if (branches.length === 0 && path !== '') {
      throw systemError(`list ${JSON.stringify(path)}`, fileError((await this.find(path)) ? 'ENOTDIR' : 'ENOENT', 'list', path))
    }
    this.#listed = { path, branches, names }
    return sortedNames(names.keys())
  }

  async *open(path: string, range?: ByteRange): AsyncGenerator<Uint8Array> {
    for await (const { branch, entry } of this.#entries(path)) {
      if (entry === 'whiteout') break
      yield* branch.open(path, range)
      return
    }
    throw systemError(`read ${JSON.stringify(path)}`, fileError('ENOENT', 'open', path))
  }

  async close(): Promise<void> {
    this.#listed = undefined
  }

  /** What branches have at a path, as far as it counts, from the top down; a branch is opened when what it has is asked for. */
  async *#entries(path: string): AsyncGenerator<{ readonly branch: LazyBranch; readonly entry: BranchNode | 'whiteout' }> {
    const listed = this.#listed?.path === parentPath(path) && path !== '' ? this.#listed : undefined
    const first = listed === undefined ? 0 : listed.names.get(lastName(path))
    if (first === undefined) return
    for (const branch of (listed?.branches ?? this.#branches).slice(first)) {
      const { leads, hides } = listed === undefined && path !== '' ? await branch.wayTo(parentPath(path)) : OPEN_WAY
      const entry = leads ? await branch.lookup(path) : undefined
      if (entry !== undefined) {
        yield { branch, entry }
        if (entry === 'whiteout' || entry.type !== 'directory') return
      }
      if (hides) return
    }
  }

  /** The branches whose directories are merged at a path, from the top down. */
  async *#directories(path: string): AsyncGenerator<LazyBranch> {
    for await (const { branch, entry } of this.#entries(path)) {
      if (entry === 'whiteout' || entry.type !== 'directory') return
      yield branch
      if (entry.opaque === true) return
    }
  }
}

/** What a branch has on the way to a path. */
interface Way {
  /** It has all directories of the way. */
  readonly leads: boolean
  /** What it has on the way hides what the branches below have there. */
  readonly hides: boolean
}

const OPEN_WAY: Way = { leads: true, hides: false }
/** Ways that a branch remembers: who walks along a path, or through a tree, asks for each again. */
const WAYS = 10_000

/** A branch that is opened when something is asked of it. */
class LazyBranch implements Branch {
  readonly #open: OpenLayer
  readonly #below: () => TreeBelow
  readonly #ways = new Map<string, Way>()
  #opened: Promise<LayerBranch> | undefined

  constructor(open: OpenLayer, below: () => TreeBelow) {
    this.#open = open
    this.#below = below
  }

  async lookup(path: string): ReturnType<Branch['lookup']> {
    return (await this.#branch()).lookup(path)
  }

  async names(path: string): ReturnType<Branch['names']> {
    return (await this.#branch()).names(path)
  }

  async *open(path: string, range?: ByteRange): AsyncGenerator<Uint8Array> {
    yield* (await this.#branch()).open(path, range)
  }

  async close(): Promise<void> {}

  /** The way to what a directory has in it. */
  async wayTo(directory: string): Promise<Way> {
    const steps: string[] = []
    let way = this.#ways.get(directory)
    for (let at = directory; way === undefined; at = parentPath(at)) {
      steps.push(at)
      way = at === '' ? OPEN_WAY : this.#ways.get(parentPath(at))
    }
    for (const step of steps.toReversed()) {
      if (way.leads) way = afterStep(way, await this.lookup(step))
      if (this.#ways.size === WAYS) this.#ways.clear()
      this.#ways.set(step, way)
    }
    return way
  }

  #branch(): Promise<LayerBranch> {
    return (this.#opened ??= this.#open().then(layer => new LayerBranch(layer, this.#below)))
  }
}

function afterStep({ hides }: Way, entry: BranchNode | 'whiteout' | undefined): Way {
  if (entry === undefined) return { leads: false, hides }
  if (entry === 'whiteout' || entry.type !== 'directory') return { leads: false, hides: true }
  return { leads: true, hides: hides || entry.opaque === true }
}
