/*
 * node bench/makeImages.ts [IMAGE…] [--small] [--to DIRECTORY]
 * Makes the images that benchmarks use (all, or those named). The benchmark does it by itself; this is
 * for doing it beforehand, or with `--small` for trying the maker in a minute.
 */
import { parseArgs } from 'node:util'
import { BENCH_IMAGES } from './images/catalogue.ts'
import { makeImages } from './images/makeImages.ts'
import { FULL, SMALL } from './images/scale.ts'
import { BENCH_CACHE } from './places.ts'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { small: { type: 'boolean', default: false }, to: { type: 'string' } },
})
const unknown = positionals.filter(name => !(BENCH_IMAGES as readonly string[]).includes(name))
if (unknown.length > 0) throw new Error(`Cannot make ${unknown.join(', ')}: the images are ${BENCH_IMAGES.join(', ')}`)

const wanted = new Set(BENCH_IMAGES.filter(name => positionals.length === 0 || positionals.includes(name)))
const root = values.to ?? (values.small ? `${BENCH_CACHE}-small` : BENCH_CACHE)
await makeImages(wanted, root, values.small ? SMALL : FULL)
console.log(`${wanted.size} images are in ${root}/images`)
