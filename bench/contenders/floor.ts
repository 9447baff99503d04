import { availableParallelism } from 'node:os'
import { basename, join } from 'node:path'
import { isalInflater } from '../../src/host/index.ts'
import { type BenchImage, layoutPath } from '../images/catalogue.ts'
import { BENCH_CACHE, PROJECT } from '../places.ts'
import type { Contender } from './contender.ts'

/** What the hardware allows: the inflating, hashing, writing and syncing that no engine can leave out, without an engine. */
export const floor: Contender = {
  name: 'floor',
  async versions() {
    const inflate = isalInflater() === undefined ? 'node:zlib' : 'ISA-L'
    return `floor: ${inflate} and node:crypto of Node ${process.version}, ${availableParallelism()} threads`
  },
  async open({ directory }) {
    const verbs = {
      pull: (reference: string) => {
        const image = basename(reference).replace(/:.*/, '') as BenchImage
        const layout = layoutPath(join(BENCH_CACHE, 'images'), image)
        return { file: process.execPath, args: [join(PROJECT, 'bench/takeLayers.ts'), layout, directory] }
      },
    }
    return { verbs, async [Symbol.asyncDispose]() {} }
  },
}
