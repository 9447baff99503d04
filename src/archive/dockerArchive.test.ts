import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DOCKER_MANIFEST, readDockerArchive } from './dockerArchive.ts'
import { type Extent, ImageFiles } from './imageFiles.ts'

/** Files in memory, which tell how many of them are read, and how many at a time. */
class Files extends ImageFiles {
  readonly #files: ReadonlyMap<string, Buffer>
  reads = 0
  most = 0
  #now = 0

  constructor(files: ReadonlyMap<string, Buffer>) {
    super('archive "x.tar"')
    this.#files = files
  }

  has(name: string): boolean {
    return this.#files.has(name)
  }

  protected find(name: string): Extent | undefined {
    return this.has(name) ? { path: name, start: 0, end: 1 } : undefined
  }

  override async read(name: string): Promise<Buffer> {
    this.reads += 1
    this.most = Math.max(this.most, (this.#now += 1))
    await new Promise(setImmediate)
    this.#now -= 1
    return this.#files.get(name)!
  }
}

const config = (author: number): Buffer =>
  Buffer.from(JSON.stringify({ author: String(author), architecture: 'amd64', os: 'linux', rootfs: { type: 'layers', diff_ids: [] } }))

test('readDockerArchive() has few files open, however many images there are, and reads a config of several once', async () => {
  const images = Array.from({ length: 3000 }, (_, n) => ({ Config: `${n % 1000}.json`, RepoTags: [`x:${n}`], Layers: [] }))
  const files = new Files(
    new Map([
      [DOCKER_MANIFEST, Buffer.from(JSON.stringify(images))],
      ...Array.from({ length: 1000 }, (_, n) => [`${n}.json`, config(n)] as const),
    ]),
  )
  const read = await readDockerArchive(files, {})
  assert.deepEqual(
    read.map(({ names, configBytes }) => [names[0]?.tag, JSON.parse(configBytes.toString()).author]),
    images.map((_, n) => [String(n), String(n % 1000)]),
  )
  assert.equal(files.reads, 1001)
  assert.ok(files.most <= 16, `${files.most} files were open at once`)
})

test('readDockerArchive() stops when it is called off', async () => {
  const images = Array.from({ length: 10 }, () => ({ Config: 'c.json', RepoTags: null, Layers: [] }))
  const files = new Files(
    new Map([
      [DOCKER_MANIFEST, Buffer.from(JSON.stringify(images))],
      ['c.json', config(1)],
    ]),
  )
  await assert.rejects(readDockerArchive(files, { signal: AbortSignal.abort(new Error('enough')) }), { message: 'enough' })
})
