import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { Stores } from '../../src/engine/stores.ts'
import { type ImageRecord, ImageStore } from '../../src/image/index.ts'
import { openMetadata, openRootDirectory } from '../../src/metadata/index.ts'
import { parseDigest } from '../../src/oci/index.ts'
import { type Picture, pictureOf, pictureOfTree } from '../../src/testing/snapshotter/picture.ts'
import { layerUnion } from '../../src/union/index.ts'

export interface StoreCheck {
  readonly images: readonly ImageRecord[]
  /** What is wrong, as sentences: lost bytes, images that lack a part, trees that are not what their layers say. */
  readonly faults: readonly string[]
}

/** Reads everything that a root has, by the stores' own checks and against the model of a union. */
export async function checkStore(root: string, storageDriver?: string): Promise<StoreCheck> {
  using metadata = openMetadata(openRootDirectory(root))
  const images = new ImageStore(metadata)
  const stores = new Stores({ root, storageDriver, metadata, images })
  const faults: string[] = []
  const layersOf = stores.layers
  for await (const { severity, path, state } of stores.content.verify()) if (severity === 'damage') faults.push(`${path} is ${state}`)
  for await (const { diffId, state } of layersOf.verify()) faults.push(`layer ${diffId}: ${state}`)
  const snapshots = await stores.snapshots()
  const records = images.list()
  for (const image of records) {
    const fault = (what: string): number => faults.push(`image ${image.names.join(', ') || image.id}: ${what}`)
    for (const digest of [image.manifest.digest, parseDigest(image.id)])
      if ((await stores.content.stat(digest)) === undefined) fault(`it lacks blob ${digest}`)
    const missing = image.diffIds.filter(diffId => layersOf.get(diffId) === undefined)
    for (const diffId of missing) fault(`it lacks layer ${diffId}`)
    if (snapshots === undefined || image.chainId === undefined || missing.length > 0) continue
    if (!snapshots.has(image.chainId)) {
      fault('it lacks its snapshot')
      continue
    }
    const layers = image.diffIds.toReversed().map(diffId => ({
      index: layersOf.get(diffId)!.index,
      open: (path: string, range = {}) => layersOf.openFile(diffId, path, range),
    }))
    const expected = await pictureOfTree(layerUnion(layers))
    for (const difference of differences(expected, await pictureOf(snapshots, image.chainId))) fault(difference)
  }
  return { images: records, faults }
}

function differences(expected: Picture, found: Picture): readonly string[] {
  return [...new Set([...Object.keys(expected), ...Object.keys(found)])]
    .filter(path => expected[path] !== found[path])
    .map(path => `"${path}" is ${found[path] ?? 'not there'} in place of ${expected[path] ?? 'nothing'}`)
}

/** What the directories of a root's stores have in them. */
export function storedFiles(root: string): readonly string[] {
  const directories = [
    'blobs/sha256',
    'layers/sha256',
    'layers/partial',
    'ingest',
    'snapshots/overlay2',
    'snapshots/vfs',
    'snapshots/erofs',
    'trash',
  ]
  return directories.flatMap(directory => {
    try {
      return readdirSync(join(root, directory)).map(name => `${directory}/${name}`)
    } catch {
      return []
    }
  })
}
