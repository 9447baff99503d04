export type { StagedLayer } from './layerFiles.ts'
export {
  type ExtractedLayer,
  type ExtractedTree,
  type ImportOptions,
  type LayerProblem,
  type LayersOptions,
  LayerStore,
  openLayers,
  type RecordOptions,
  type StoredLayer,
} from './layerStore.ts'
