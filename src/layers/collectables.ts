import type { Collectable } from '../metadata/index.ts'
import { type DiffId, parseDiffId } from '../oci/index.ts'
import type { LayerFiles } from './layerFiles.ts'
import type { LayerRecords } from './layerRecords.ts'

interface LayerParts {
  readonly records: LayerRecords
  readonly files: LayerFiles
  /** Deletes the record, and what is known of the layer's blobs elsewhere. */
  readonly forget: (diffId: DiffId) => void
  /** Takes the files of a layer out of the store, unless it has a record. */
  readonly sweep: (diffId: DiffId) => void
}

/** What a collection may remove from the layer store. */
export function layerCollectables(parts: LayerParts): readonly Collectable[] {
  return [layers(parts), unrecordedLayers(parts), abandonedLayers(parts)]
}

/** A layer whose content is a driver's tree holds what keeps that tree. */
function layers({ records, forget, sweep }: LayerParts): Collectable {
  return {
    kind: 'layer',
    list: () => records.all().map(record => record.diffId),
    *references(id) {
      // Any text may be looked for: what somebody calls a layer and is none has no record.
      const place = records.find(id as DiffId)?.place
      if (place?.form === 'tree') yield place.heldBy
    },
    drop: id => forget(parseDiffId(id)),
    destroy: async id => sweep(parseDiffId(id)),
  }
}

/** Directories that a crash left between their name and their record, or between the end of the record and theirs. */
function unrecordedLayers({ records, files, sweep }: LayerParts): Collectable {
  return {
    kind: 'layer directory',
    list: () => files.diffIds().filter(diffId => records.find(diffId) === undefined),
    references: () => [],
    drop: () => undefined,
    destroy: async id => sweep(parseDiffId(id)),
  }
}

function abandonedLayers({ files }: LayerParts): Collectable {
  return {
    kind: 'partial layer',
    list: () => files.abandoned(),
    references: () => [],
    drop: () => undefined,
    destroy: async id => files.deleteAbandoned(id),
  }
}
