import { constants, statSync } from 'node:fs'
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { errnoOf } from '../../base/index.ts'
import { close, CURRENT_DIRECTORY, mount, openAt, removeTree, unmount } from '../../host/index.ts'
import { overlayMount } from './overlayMount.ts'

export const TRIAL_PREFIX = 'trial-'
/** A trial takes milliseconds: older ones are what a crash left. */
const ABANDONED_MS = 10 * 60 * 1000

/**
 * Why layers cannot be directories of an overlay on the disk of this directory, or undefined when they
 * can. What the kernel and the disk allow is seen by doing it: a file and a directory of a small
 * overlay are removed, and the directory is made anew, which takes whiteouts and an opaque directory.
 */
export async function tryOverlay(directory: string): Promise<string | undefined> {
  await removeAbandonedTrials(directory)
  const trial = await mkdtemp(join(directory, TRIAL_PREFIX))
  const [lower, upper, work, merged] = ['lower', 'upper', 'work', 'merged'].map(name => join(trial, name)) as [
    string,
    string,
    string,
    string,
  ]
  try {
    for (const path of [lower, upper, work, merged, join(lower, 'replaced')]) await mkdir(path)
    await writeFile(join(lower, 'replaced', 'old'), '')
    await writeFile(join(lower, 'removed'), '')
    mount(await overlayMount([lower], { upper, work }), merged)
    using taken = takeMount(merged)
    await rm(join(taken.path, 'removed'))
    await rm(join(taken.path, 'replaced'), { recursive: true })
    await mkdir(join(taken.path, 'replaced'))
    const left = [...(await readdir(taken.path)), ...(await readdir(join(taken.path, 'replaced')))]
    return left.join() === 'replaced' ? undefined : 'the disk does not keep what an overlay removes'
  } catch (error) {
    return `an overlay does not work here: ${error instanceof Error ? error.message : String(error)}`
  } finally {
    await removeTree(CURRENT_DIRECTORY, trial)
  }
}

/**
 * Takes what has just been mounted away from its place, and gives a path of this process alone to look at it. It ends with
 * this process, whatever ends that, and nobody else meets it.
 */
export function takeMount(target: string): Disposable & { readonly path: string } {
  const fd = openAt(CURRENT_DIRECTORY, target, constants.O_RDONLY | constants.O_DIRECTORY)
  unmount(target, { detach: true })
  return { path: `/proc/self/fd/${fd}`, [Symbol.dispose]: () => close(fd) }
}

/** Takes away what trials left that were cut short. */
export async function removeAbandonedTrials(directory: string): Promise<void> {
  for (const name of await readdir(directory)) {
    if (!name.startsWith(TRIAL_PREFIX)) continue
    const path = join(directory, name)
    const stats = statSync(path, { throwIfNoEntry: false })
    if (stats === undefined || Date.now() - stats.mtimeMs < ABANDONED_MS) continue
    try {
      unmount(join(path, 'merged'), { detach: true })
    } catch (error) {
      if (errnoOf(error) !== 'EINVAL' && errnoOf(error) !== 'ENOENT') throw error
    }
    await removeTree(CURRENT_DIRECTORY, path)
  }
}
