import { streamOf } from '../../src/base/index.ts'
import type { BlobSource } from '../../src/content/index.ts'

/** A blob that is in memory. */
export const sourceOf = (bytes: Uint8Array): BlobSource => ({ open: async (_, { start = 0 } = {}) => streamOf(bytes.subarray(start)) })
