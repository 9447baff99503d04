import { readdirSync } from 'node:fs'
import { mkdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { errnoOf } from '../base/index.ts'
import { close, ConfinedRoot } from '../host/index.ts'
import { copyRootAttributes, directoryTree, flatten } from '../layer/index.ts'
import { extractTar } from './files/extractTar.ts'
import { MountedTree } from './files/mountedTree.ts'
import type { Installation } from './installation.ts'
import type { VolumeMount } from './mountRecord.ts'
import type { ContainerRecord } from './record.ts'
import { borrowRootfs } from './rootfs.ts'

/** Fills the empty volumes of a container that is being created with what its image has where they are mounted. */
export async function fillVolumes(installation: Installation, record: ContainerRecord): Promise<void> {
  const empty = record.definition.mounts.filter(
    (mount): mount is VolumeMount => mount.type === 'volume' && mount.copyUp && isEmpty(installation, mount.volume),
  )
  if (empty.length === 0) return
  await using rootfs = await borrowRootfs(installation, record.id, await installation.locks.acquire(record.id))
  using root = new ConfinedRoot(rootfs.path)
  for (const { volume, target } of empty) {
    using _ = await installation.volumes.lock(volume)
    // Another container may have filled it while this one waited.
    if (isEmpty(installation, volume)) await fill(installation, volume, { root, target })
  }
}

function isEmpty(installation: Installation, volume: string): boolean {
  const { options } = installation.volumes.get(volume)
  return Object.keys(options).length === 0 && readdirSync(installation.paths.volumeData(volume)).length === 0
}

/** The image's path is resolved inside the image: what a link leads to there, never on this machine. */
async function fill(
  installation: Installation,
  volume: string,
  from: { readonly root: ConfinedRoot; readonly target: string },
): Promise<void> {
  let source: number
  try {
    source = from.root.openDirectory(from.target)
  } catch (error) {
    // Nothing to fill it with.
    if (['ENOENT', 'ENOTDIR', 'ELOOP'].includes(errnoOf(error) ?? '')) return
    throw error
  }
  const data = installation.paths.volumeData(volume)
  // Seen as a whole or not at all, unless somebody uses the empty directory already: that one must stay.
  const isShared = installation.records.usersOf(volume).length > 1
  const target = isShared ? data : join(installation.paths.volume(volume), '.filling')
  try {
    if (!isShared) {
      await rm(target, { recursive: true, force: true })
      await mkdir(target, { mode: 0o755 })
    }
    const tree = directoryTree(`/proc/self/fd/${source}`)
    const place = new MountedTree([{ path: '', source: target, readOnly: false }])
    try {
      await extractTar(flatten(tree), place, '', { owner: 'keep' })
      // With a dot: it does not follow links, and this is one.
      copyRootAttributes(`/proc/self/fd/${source}/.`, target)
    } finally {
      await place.close()
      await tree.close()
    }
    if (!isShared) await rename(target, data)
  } finally {
    close(source)
  }
}
