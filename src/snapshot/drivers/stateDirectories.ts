import { mkdir, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { syncDirectory } from '../../base/index.ts'
import { CURRENT_DIRECTORY, removeTree } from '../../host/index.ts'
import type { SnapshotId } from '../driver.ts'

/** `<root>/<id>/fs`: where the drivers that extract layers keep their states. */
export class StateDirectories {
  readonly root: string

  /** @param root an existing directory for one driver alone */
  constructor(root: string) {
    this.root = root
  }

  /** The directory that holds a state's files. */
  files(id: SnapshotId): string {
    return join(this.root, id, 'fs')
  }

  /** Makes the directories of a state. Nobody but root looks into them: what is in there has owners and setuid programs of its own. */
  async create(id: SnapshotId): Promise<void> {
    await mkdir(join(this.root, id), { mode: 0o700 })
    await mkdir(this.files(id), { mode: 0o755 })
  }

  /** Makes the names and attributes of a state's directories survive power loss. */
  async sync(id: SnapshotId): Promise<void> {
    for (const path of [this.files(id), join(this.root, id), this.root]) await syncDirectory(path)
  }

  remove(id: SnapshotId): Promise<void> {
    return removeTree(CURRENT_DIRECTORY, join(this.root, id))
  }

  /** Only numbers are states: a disk of its own has a lost+found, and trials of drivers come and go. */
  async *list(): AsyncGenerator<SnapshotId> {
    for (const name of await readdir(this.root)) if (/^[1-9]\d*$/.test(name)) yield name as SnapshotId
  }
}
