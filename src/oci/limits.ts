/**
 * What a document from outside may hold at most; past one of these it is refused before it is understood.
 * 4 MiB is what the distribution-spec asks every registry to take for a manifest ("Pushing Manifests").
 */
export const LIMITS = {
  /** Bytes of an image manifest. */
  manifestBytes: 4_194_304,
  /** Bytes of an image index. */
  indexBytes: 4_194_304,
  /** Bytes of an image config. */
  configBytes: 4_194_304,
  /** Layers of one image: eight times what overlayfs stacks. */
  layers: 4096,
  /** Entries of one index: an index of 4 MiB has about 20,000 of the smallest. */
  indexEntries: 10_000,
  /** Indexes inside indexes. */
  indexDepth: 4,
  /**
   * Bytes of all manifests and indexes of one graph, each of which counts as `graphDocumentBytes` at least: an index of as many
   * images as it may have fits.
   */
  graphBytes: 67_108_864,
  graphDocumentBytes: 4096,
  /** Objects and arrays inside each other, in any document. */
  nesting: 64,
} as const
