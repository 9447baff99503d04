import assert from 'node:assert/strict'
import { mkdtemp } from 'node:fs/promises'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { type Engine, openEngine } from '../../src/engine/index.ts'
import { CURRENT_DIRECTORY, removeTree } from '../../src/host/index.ts'
import { type Descriptor, describeBytes, digestOf, MEDIA_TYPES } from '../../src/oci/index.ts'
import { lyingServer } from '../support/lyingServer.ts'
import { tarOf } from '../support/tars.ts'

let scratch: string
let engines = 0
before(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'strata-referrers-'))
})
after(() => removeTree(CURRENT_DIRECTORY, scratch))

const newEngine = (): Promise<Engine> =>
  openEngine({
    fsync: false,
    root: join(scratch, `root-${(engines += 1)}`),
    configDirectory: scratch,
    userConfigDirectory: scratch,
    systemDirectory: scratch,
  })

/** What a registry has of one image, by digest and by tag. */
class Shelf {
  readonly #blobs = new Map<string, Buffer>()
  readonly image: Descriptor

  constructor() {
    const tar = tarOf({ file: 'said about' })
    const layer = this.#put(MEDIA_TYPES.layerGzip, gzipSync(tar))
    const config = { architecture: 'amd64', os: 'linux', rootfs: { type: 'layers', diff_ids: [digestOf(tar)] } }
    this.image = this.#document({ config: this.#put(MEDIA_TYPES.config, Buffer.from(JSON.stringify(config))), layers: [layer] })
  }

  #put(mediaType: string, bytes: Buffer): Descriptor {
    const target = describeBytes(mediaType, bytes)
    this.#blobs.set(target.digest, bytes)
    return target
  }

  #document(fields: object): Descriptor {
    return this.#put(MEDIA_TYPES.manifest, Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: MEDIA_TYPES.manifest, ...fields })))
  }

  /** Something that is said about the image, of so many bytes. */
  referrer(bytes: number): Descriptor {
    const config = this.#put(MEDIA_TYPES.empty, Buffer.from('{}'))
    const layer = this.#put('text/x', Buffer.alloc(bytes, 'x'))
    return { ...this.#document({ artifactType: 'text/x', config, layers: [layer], subject: this.image }), artifactType: 'text/x' }
  }

  answer(request: IncomingMessage, response: ServerResponse): void {
    const name = (request.url ?? '').split('/').at(-1)!
    const bytes = this.#blobs.get(name === '1' ? this.image.digest : name)
    if (bytes === undefined) response.writeHead(404).end()
    else response.writeHead(200, { 'content-type': MEDIA_TYPES.manifest, 'content-length': bytes.length }).end(bytes)
  }
}

const isList = ({ url }: IncomingMessage): boolean => url?.includes('/referrers/') === true
const listOf = (manifests: readonly Descriptor[]): string => JSON.stringify({ schemaVersion: 2, mediaType: MEDIA_TYPES.index, manifests })

test('hostile: what comes along with an image unasked is bounded in all, and what is left out is told', async () => {
  const shelf = new Shelf()
  const megabytes = 1024 * 1024
  const said = [40 * megabytes, 40 * megabytes + 1, 10].map(bytes => shelf.referrer(bytes))
  await using server = await lyingServer((request, response) => {
    if (!isList(request)) shelf.answer(request, response)
    else response.writeHead(200, { 'content-type': MEDIA_TYPES.index }).end(listOf(request.url!.includes(shelf.image.digest) ? said : []))
  })
  await using engine = await newEngine()
  const notes: string[] = []
  await engine.pull(`${server.address}/app:1`, { onProgress: ({ status }) => notes.push(status) })
  const kept = await engine.referrers(`${server.address}/app:1`)
  assert.deepEqual(kept.map(({ digest }) => digest).toSorted(), [said[0]!.digest, said[2]!.digest].toSorted())
  assert.ok(
    notes.some(note => note.endsWith(': 1 of them are left out')),
    notes.join('\n'),
  )
})

test('hostile: a list of referrers without end ends', async () => {
  const shelf = new Shelf()
  let pages = 0
  await using server = await lyingServer((request, response) => {
    if (!isList(request)) return shelf.answer(request, response)
    pages += 1
    const link = `<${request.url!.split('?')[0]}?page=${pages}>; rel="next"`
    response.writeHead(200, { 'content-type': MEDIA_TYPES.index, link }).end(listOf([]))
  })
  await using engine = await newEngine()
  await engine.pull(`${server.address}/app:1`)
  assert.equal(pages, 100)
  await assert.rejects(engine.referrers(`${server.address}/app:1`, { remote: true }), {
    kind: 'unavailable',
    code: 'STRATA_REGISTRY_ANSWER',
    message: /the list has more than 100 pages$/,
  })
})

test('hostile: an image that is here is not kept waiting by a registry that does not say what is said about it', async () => {
  const shelf = new Shelf()
  await using server = await lyingServer((request, response) => {
    if (!isList(request)) shelf.answer(request, response)
  })
  await using engine = await newEngine()
  const notes: string[] = []
  const begun = Date.now()
  await engine.pull(`${server.address}/app:1`, { onProgress: ({ status }) => notes.push(status) })
  assert.ok(Date.now() - begun < 30_000, 'not the five minutes after which a registry is given up')
  assert.ok(notes.includes(`What is said about ${shelf.image.digest} is not kept: its registry takes too long`), notes.join('\n'))
  assert.equal((await engine.images()).length, 1)
})

test('a pull that fails does not wait for what is said about the image, nor tell of it', async () => {
  const shelf = new Shelf()
  await using server = await lyingServer((request, response) => {
    if (isList(request)) return
    if (request.url!.includes('/blobs/')) response.writeHead(404).end()
    else shelf.answer(request, response)
  })
  await using engine = await newEngine()
  const notes: string[] = []
  const begun = Date.now()
  await assert.rejects(engine.pull(`${server.address}/app:1`, { onProgress: ({ status }) => notes.push(status) }), { kind: 'notFound' })
  assert.ok(Date.now() - begun < 4000)
  assert.ok(!notes.some(note => note.startsWith('What is said')), notes.join('\n'))
})
