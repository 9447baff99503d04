import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { isStrataError } from '../../src/base/index.ts'
import { type Engine, openEngine } from '../../src/engine/index.ts'
import { ImageCrafter } from '../support/craftedImages.ts'
import { type Exchange, type Fault, faultyProxy, packed } from '../support/faultyProxy.ts'
import { type LoopbackRegistry, startRegistry } from '../support/loopbackRegistry.ts'
import { checkStore } from '../support/storeCheck.ts'
import { tarOf } from '../support/tars.ts'

/* A network that breaks, and a registry that lies, in front of a real one: what heals is pulled or pushed, the rest is told, and nothing wrong is kept. */

let scratch: string
let registry: LoopbackRegistry
before(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'strata-faults-'))
  registry = await startRegistry()
  const layers = [
    { tar: tarOf({ large: LARGE }), compression: 'gzip' },
    { tar: tarOf({ small: 'small' }), compression: 'zstd' },
  ] as const
  await new ImageCrafter(registry.address, 'app').image('1', layers)
})
after(async () => {
  await registry[Symbol.asyncDispose]()
  await rm(scratch, { recursive: true, force: true })
})

const LARGE = randomBytes(3_000_000)

async function openNew(): Promise<{ readonly engine: Engine; readonly root: string }> {
  const root = await mkdtemp(join(scratch, 'root-'))
  return { root, engine: await openEngine({ root, configDirectory: scratch, fsync: false }) }
}

async function assertNothingWrong(engine: Engine, root: string, images: number): Promise<void> {
  assert.deepEqual(await Array.fromAsync(engine.check()), [])
  const checked = await checkStore(root)
  assert.deepEqual([checked.images.length, checked.faults], [images, []])
}

const isBlob = ({ method, path }: Exchange): boolean => method === 'GET' && path.includes('/blobs/sha256')
const isManifest = ({ method, path }: Exchange): boolean => method === 'GET' && path.includes('/manifests/')
/** Not the question whether a registry is there. */
const isPart = ({ path }: Exchange): boolean => path !== '/v2/'
/** Of blobs, only the large one is long enough. */
const often = (times: number, fault: Fault) => (exchange: Exchange) => (isBlob(exchange) && exchange.earlier < times ? fault : undefined)

interface Case {
  readonly fault: (exchange: Exchange) => Fault | undefined
  /** What the error says; absent where it heals. */
  readonly says?: RegExp
}

const PULLS: Readonly<Record<string, Case>> = {
  'breaks at once': { fault: often(1, { cutAfter: 0 }) },
  'breaks again and again': { fault: often(4, { cutAfter: 500_000 }) },
  'breaks at the last byte': { fault: often(1, { cutAfter: 2_999_000 }) },
  'breaks always': { fault: often(99, { cutAfter: 0 }), says: /Cannot/ },
  'corrupts a byte of each blob': { fault: often(99, { corruptAt: 100 }), says: /Cannot/ },
  'corrupts a byte late': { fault: often(99, { corruptAt: 2_000_000 }), says: /Cannot/ },
  'breaks, and corrupts what it goes on with': {
    fault: exchange => (isBlob(exchange) ? (exchange.earlier === 0 ? { cutAfter: 1_000_000 } : { corruptAt: 500_000 }) : undefined),
    says: /Cannot/,
  },
  'breaks, and ignores ranges': {
    fault: exchange => (isBlob(exchange) ? (exchange.earlier === 0 ? { cutAfter: 1_000_000 } : { ask: { range: undefined } }) : undefined),
  },
  'breaks, and gives another range': {
    fault: exchange => (isBlob(exchange) ? (exchange.earlier === 0 ? { cutAfter: 1_000_000 } : { ask: { range: 'bytes=5-' } }) : undefined),
    says: /Cannot get sha256:/,
  },
  'gives another range and says it were the right one': {
    fault: exchange =>
      isBlob(exchange)
        ? exchange.earlier === 0
          ? { cutAfter: 1_000_000 }
          : {
              ask: { range: 'bytes=5-' },
              say: { 'content-range': String(exchange.headers.range).replace('bytes=', 'bytes ') + '3000000/3000001' },
            }
        : undefined,
    says: /Cannot/,
  },
  'breaks, and knows no ranges': {
    fault: exchange =>
      isBlob(exchange)
        ? exchange.earlier === 0
          ? { cutAfter: 1_000_000 }
          : exchange.headers.range === undefined
            ? undefined
            : { answer: { status: 416 } }
        : undefined,
  },
  'breaks, and has lost it': {
    fault: exchange => (isBlob(exchange) ? (exchange.earlier === 0 ? { cutAfter: 1_000_000 } : { answer: { status: 404 } }) : undefined),
    says: /Cannot get sha256:.* 404/,
  },
  'says later, and when': {
    fault: exchange =>
      isPart(exchange) && exchange.earlier === 0 ? { answer: { status: 429, headers: { 'retry-after': '0' } } } : undefined,
  },
  'says later always': { fault: often(99, { answer: { status: 429, headers: { 'retry-after': '0' } } }), says: /answers 429/ },
  'is broken for a while': { fault: exchange => (isPart(exchange) && exchange.earlier < 2 ? { answer: { status: 503 } } : undefined) },
  'is broken when it shall go on': {
    fault: exchange =>
      isBlob(exchange)
        ? exchange.earlier === 0
          ? { cutAfter: 1_000_000 }
          : exchange.earlier < 3
            ? { answer: { status: 502 } }
            : undefined
        : undefined,
  },
  'says no length': {
    fault: exchange => (isBlob(exchange) || isManifest(exchange) ? { say: { 'content-length': undefined } } : undefined),
  },
  'says no length, and breaks': {
    fault: exchange =>
      isBlob(exchange) ? { say: { 'content-length': undefined }, ...(exchange.earlier === 0 ? { cutAfter: 1_000_000 } : {}) } : undefined,
  },
  'packs blobs': { fault: exchange => (isBlob(exchange) ? packed : undefined), says: /content encoding "gzip"/ },
  'sends more than there is': {
    fault: exchange =>
      isBlob(exchange) ? { body: bytes => Buffer.concat([bytes, bytes]), say: { 'content-length': undefined } } : undefined,
    says: /Cannot/,
  },
  'sends less than there is': {
    fault: exchange =>
      isBlob(exchange)
        ? { body: bytes => bytes.subarray(0, -7), say: { 'content-length': undefined, 'content-range': undefined } }
        : undefined,
    says: /Cannot/,
  },
  'sends another manifest': { fault: exchange => (isManifest(exchange) ? { corruptAt: 20 } : undefined), says: /Cannot use the manifest/ },
  'says another digest': {
    fault: exchange => (isManifest(exchange) ? { say: { 'docker-content-digest': `sha256:${'0'.repeat(64)}` } } : undefined),
    says: /Cannot use the manifest/,
  },
}

describe('hostile #52, #59', { concurrency: 6 }, () => {
  for (const [title, { fault, says }] of Object.entries(PULLS)) {
    test(`pull from a registry that ${title} ${says === undefined ? 'heals' : 'is told, and nothing wrong is kept'}`, async () => {
      await using proxy = await faultyProxy(registry.address, { fault })
      const { engine, root } = await openNew()
      const pulled = engine.pull(`${proxy.address}/app:1`)
      if (says === undefined) await pulled
      else
        await assert.rejects(pulled, error => {
          assert.ok(isStrataError(error), String(error))
          assert.match(error.message, /^Cannot /)
          assert.match(error.message, says)
          assert.doesNotMatch(error.message, /\n/)
          return true
        })
      await assertNothingWrong(engine, root, says === undefined ? 1 : 0)
      if (says !== undefined) {
        // Nothing that stayed is in the way of a better network.
        await using good = await faultyProxy(registry.address)
        await engine.pull(`${good.address}/app:1`)
        await assertNothingWrong(engine, root, 1)
      }
      await engine.close()
    })
  }
})

const PUSHES: Readonly<Record<string, Case>> = {
  'breaks in the middle of a blob': {
    fault: exchange => (isFirst(exchange, 'PATCH') ? { cutRequestAfter: 1_000_000 } : undefined),
  },
  'loses the answer to a blob': { fault: exchange => (isFirst(exchange, 'PATCH') ? { losesAnswer: true } : undefined) },
  'loses the answer to the end of a blob': { fault: exchange => (isFirst(exchange, 'PUT') ? { losesAnswer: true } : undefined) },
  'says later in the middle of a blob': {
    fault: exchange => (isFirst(exchange, 'PATCH') ? { answer: { status: 429, headers: { 'retry-after': '0' } } } : undefined),
  },
  'says later at the beginning': { fault: exchange => (isFirst(exchange, 'POST') ? { answer: { status: 503 } } : undefined) },
  'forgets an upload': { fault: exchange => (isFirst(exchange, 'PATCH') ? { answer: { status: 404 } } : undefined) },
  'is broken always': { fault: ({ method }) => (method === 'PATCH' ? { answer: { status: 500 } } : undefined), says: /answers 500/ },
  'wants nothing': { fault: ({ method }) => (method === 'POST' ? { answer: { status: 403 } } : undefined), says: /answers 403/ },
  'gets other bytes': {
    fault: ({ method, path }) => (method === 'PUT' && path.includes('/uploads/') ? { answer: { status: 400 } } : undefined),
    says: /answers 400/,
  },
  'does not say where to': {
    fault: ({ method }) => (method === 'POST' ? { say: { location: undefined } } : undefined),
    says: /where to upload/,
  },
}

function isFirst({ method, path, others }: Exchange, wanted: string): boolean {
  return method === wanted && others === 0 && path.includes('/uploads/')
}

describe('hostile #59', { concurrency: 6 }, () => {
  for (const [title, { fault, says }] of Object.entries(PUSHES)) {
    test(`push to a registry that ${title} ${says === undefined ? 'heals' : 'is told'}`, async () => {
      const { engine, root } = await openNew()
      await engine.pull(`${registry.address}/app:1`)
      await using behind = await startRegistry()
      await using proxy = await faultyProxy(behind.address, { fault })
      const name = `${proxy.address}/pushed:1`
      await engine.tag(`${registry.address}/app:1`, name)
      if (says === undefined) await engine.push(name)
      else
        await assert.rejects(engine.push(name), error => {
          assert.ok(isStrataError(error), String(error))
          assert.match(error.message, says)
          return true
        })
      await assertNothingWrong(engine, root, 1)
      await engine.close()
      if (says === undefined) {
        const back = await openNew()
        await back.engine.pull(`${behind.address}/pushed:1`)
        await assertNothingWrong(back.engine, back.root, 1)
        await back.engine.close()
      }
    })
  }
})
