import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, before, test } from 'node:test'
import { readAtMost } from '../../src/base/index.ts'
import { type Descriptor, MEDIA_TYPES, parseReference } from '../../src/oci/index.ts'
import { connectRepository, RateLimit } from '../../src/registry/index.ts'
import { ImageCrafter } from '../support/craftedImages.ts'
import { type Exchange, type Fault, type FaultyProxy, faultyProxy } from '../support/faultyProxy.ts'
import { type LoopbackRegistry, startRegistry } from '../support/loopbackRegistry.ts'

/* Large blobs over several connections, from a real registry behind a slow network. */

const BLOB = randomBytes(18_000_000)
const BYTES_PER_SECOND = 12_000_000

let registry: LoopbackRegistry
let target: Descriptor
before(async () => {
  registry = await startRegistry()
  target = await new ImageCrafter(registry.address, 'app').blob(MEDIA_TYPES.layer, BLOB)
})
after(() => registry[Symbol.asyncDispose]())

const rangeOf = ({ headers }: Exchange): string | undefined => headers.range
const isSegment = (exchange: Exchange): boolean => /^bytes=\d+-\d+$/.test(rangeOf(exchange) ?? '')

async function fetched(
  { bytesPerSecond, fault }: { readonly bytesPerSecond?: number; readonly fault?: (exchange: Exchange) => Fault | undefined },
  rateLimit?: RateLimit,
): Promise<{ readonly seconds: number; readonly blobs: readonly Exchange[]; readonly proxy: FaultyProxy }> {
  await using proxy = await faultyProxy(registry.address, { bytesPerSecond, ...(fault === undefined ? {} : { fault }) })
  const reference = parseReference(`${proxy.address}/app`)
  await using repository = await connectRepository(reference, {
    configDirectory: '/nonexistent',
    access: 'pull',
    ...(rateLimit === undefined ? {} : { rateLimit }),
  })
  const began = performance.now()
  assert.ok((await readAtMost(await repository.open(target), BLOB.length)).equals(BLOB))
  return { seconds: (performance.now() - began) / 1000, blobs: proxy.exchanges.filter(({ path }) => path.includes('/blobs/')), proxy }
}

test('open() helps a slow connection with others, and fetches hardly a byte twice', async () => {
  const { seconds, blobs, proxy } = await fetched({ bytesPerSecond: BYTES_PER_SECOND })
  assert.ok(blobs.some(isSegment))
  assert.ok(seconds < (BLOB.length / BYTES_PER_SECOND) * 0.8, `${seconds} s`)
  assert.ok(proxy.blobBytes() < BLOB.length * 1.1, `${proxy.blobBytes()} bytes`)
})

test('open() leaves a fast connection alone, and a limited one', async () => {
  for (const rate of [undefined, 20_000_000]) {
    const { seconds, blobs } = await fetched({}, rate === undefined ? undefined : new RateLimit(rate))
    assert.equal(blobs.length, 1)
    assert.equal(rangeOf(blobs[0]!), undefined)
    if (rate !== undefined) assert.ok(seconds > (BLOB.length / rate) * 0.9, `${seconds} s`)
  }
})

const FAULTS: Readonly<Record<string, (exchange: Exchange) => Fault | undefined>> = {
  'ignores ranges': exchange => (isSegment(exchange) ? { ask: { range: undefined } } : undefined),
  'knows no ranges': exchange => (isSegment(exchange) ? { answer: { status: 416 } } : undefined),
  'gives other ranges': exchange => (isSegment(exchange) ? { ask: { range: 'bytes=7-4194310' } } : undefined),
  'does not answer them': exchange => (isSegment(exchange) ? { stallAfter: 0 } : undefined),
  'breaks in one': exchange => (isSegment(exchange) && !isFirstSegment(exchange) ? { cutAfter: 1_000_000 } : undefined),
  'refuses one after the first': exchange => (isSegment(exchange) && !isFirstSegment(exchange) ? { answer: { status: 403 } } : undefined),
}

const isFirstSegment = ({ earlier }: Exchange): boolean => earlier === 1

for (const [title, fault] of Object.entries(FAULTS)) {
  test(`hostile #59: open() gives the right bytes where the registry ${title}`, async () => {
    const { blobs } = await fetched({ bytesPerSecond: BYTES_PER_SECOND, fault })
    assert.ok(blobs.some(isSegment), 'it was tried')
  })
}

test('open() gives a part of a blob', async () => {
  await using proxy = await faultyProxy(registry.address)
  await using repository = await connectRepository(parseReference(`${proxy.address}/app`), {
    configDirectory: '/nonexistent',
    access: 'pull',
  })
  for (const [start, end] of [
    [0, 10],
    [100, 5000],
    [BLOB.length - 5, BLOB.length],
    [7, 7],
  ] as const) {
    assert.ok((await readAtMost(await repository.open(target, { start, end }), BLOB.length)).equals(BLOB.subarray(start, end)))
  }
  assert.ok(proxy.blobBytes() < 6000)
})
