import type { Stores } from './stores.ts'
import type { StoreProblem } from './system.ts'

/** What is wrong in the stores: first the blobs, then the layers that are whole in themselves. */
export async function* checkStores({ content, layers }: Stores): AsyncGenerator<StoreProblem> {
  for await (const { severity, path, state } of content.verify()) yield { severity, message: `File "${path}" is ${state}` }
  for await (const { state } of layers.verify()) yield { severity: 'damage', message: state }
}
