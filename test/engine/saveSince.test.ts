import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { existsSync, statSync, writeFileSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { type Engine, openEngine, type SaveOptions } from '../../src/engine/index.ts'
import { isStrataError } from '../../src/base/index.ts'
import { must } from '../support/commands.ts'
import { ImageCrafter } from '../support/craftedImages.ts'
import { type LoopbackRegistry, startRegistry } from '../support/loopbackRegistry.ts'
import { checkStore } from '../support/storeCheck.ts'
import { tarOf } from '../support/tars.ts'

/** A base of 300 kB, and applications on it of a few bytes each. */
const BASE = [tarOf({ os: randomBytes(200_000) }), tarOf({ libs: randomBytes(100_000) })]
const APP = [tarOf({ app: 'one' }), tarOf({ app: 'two', more: 'more' })]

let scratch: string
let registry: LoopbackRegistry
let name: string

before(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'strata-since-'))
  registry = await startRegistry()
  name = `${registry.address}/team`
  const gzip = (tars: readonly Buffer[]) => tars.map(tar => ({ tar, compression: 'gzip' as const }))
  const plain = (tars: readonly Buffer[]) => tars.map(tar => ({ tar, compression: 'none' as const }))
  const zstd = (tars: readonly Buffer[]) => tars.map(tar => ({ tar, compression: 'zstd' as const }))
  await new ImageCrafter(registry.address, 'team/base').image('1', gzip(BASE))
  await new ImageCrafter(registry.address, 'team/base').image('plain', plain(BASE))
  await new ImageCrafter(registry.address, 'team/base').image('other', gzip([BASE[0]!, tarOf({ libs: 'other' })]))
  await new ImageCrafter(registry.address, 'team/app').image('1', gzip([...BASE, APP[0]!]))
  await new ImageCrafter(registry.address, 'team/app').image('2', gzip([...BASE, ...APP]))
  await new ImageCrafter(registry.address, 'team/app').image('zstd', zstd([...BASE, ...APP]))
  await new ImageCrafter(registry.address, 'team/app').image('plain', plain([...BASE, ...APP]))
})
after(async () => {
  await registry[Symbol.asyncDispose]()
  await rm(scratch, { recursive: true, force: true })
})

let stores = 0
/** Somebody with a store of their own, on that driver. */
async function person(storageDriver = 'vfs'): Promise<{ readonly engine: Engine; readonly root: string } & AsyncDisposable> {
  const root = join(scratch, `store-${(stores += 1)}`)
  const engine = await openEngine({ root, storageDriver, userConfigDirectory: scratch, systemDirectory: scratch })
  return { engine, root, [Symbol.asyncDispose]: () => engine.close() }
}

async function saved(engine: Engine, references: readonly string[], options: SaveOptions): Promise<string> {
  const path = join(scratch, `archive-${(stores += 1)}.tar`)
  await writeFile(path, await engine.save(references, options))
  return path
}

const bytesOf = (path: string): number => statSync(path).size

const manifestOf = async (engine: Engine, reference: string): Promise<string> =>
  (await engine.copy(`strata:${reference}`, `dir:${join(scratch, `dir-${(stores += 1)}`)}`)).manifestDigest

/** The image is one like any other: it is saved, pushed and, as root, mounted and listed. */
async function isWhole({ engine, root }: { readonly engine: Engine; readonly root: string }, reference: string): Promise<void> {
  const again = await saved(engine, [reference], {})
  {
    await using third = await person()
    await third.engine.load(again)
    assert.equal(await manifestOf(third.engine, reference), await manifestOf(engine, reference))
  }
  await engine.tag(reference, `${name}/pushed:${(stores += 1)}`)
  const [pushed] = await engine.push(`${name}/pushed:${stores}`)
  await must(
    'skopeo',
    '--insecure-policy',
    'copy',
    '-q',
    '--src-tls-verify=false',
    `docker://${name}/pushed@${pushed!.manifestDigest}`,
    `dir:${join(scratch, `judge-${stores}`)}`,
  )
  await engine.close()
  assert.deepEqual((await checkStore(root, 'vfs')).faults, [])
}

describe('save() of what is new since an image', () => {
  test('goes from friend to friend: the archive has the new layers alone, and the digest stays', async () => {
    for (const format of ['docker-archive', 'oci-archive'] as const) {
      await using ours = await person()
      await using theirs = await person()
      for (const tag of ['base:1', 'app:2']) await ours.engine.pull(`${name}/${tag}`)
      await theirs.engine.pull(`${name}/base:1`)
      const archive = await saved(ours.engine, [`${name}/app:2`], { since: `${name}/base:1`, format })
      assert.ok(bytesOf(archive) < 30_000, `${bytesOf(archive)} bytes`)
      assert.ok(bytesOf(await saved(ours.engine, [`${name}/app:2`], { format })) > 300_000)
      const [loaded] = await theirs.engine.load(archive)
      assert.equal(loaded!.name, `${name}/app:2`)
      assert.equal(await manifestOf(theirs.engine, `${name}/app:2`), await manifestOf(ours.engine, `${name}/app:2`))
      // On from there: only the topmost layer of the next one.
      await isWhole(theirs, `${name}/app:2`)
    }
  })

  test('counts what was made here on the base: its layers are plain tars, which the base has compressed', async () => {
    await using ours = await person()
    await using theirs = await person()
    for (const each of [ours, theirs]) await each.engine.pull(`${name}/base:1`)
    await ours.engine.pull(`${name}/app:plain`)
    const archive = await saved(ours.engine, [`${name}/app:plain`], { since: `${name}/base:1` })
    assert.ok(bytesOf(archive) < 30_000)
    await theirs.engine.load(archive)
    assert.equal(await manifestOf(theirs.engine, `${name}/app:plain`), await manifestOf(ours.engine, `${name}/app:plain`))
    await isWhole(theirs, `${name}/app:plain`)
  })

  test('compresses what goes along, and nothing that stays', async () => {
    await using ours = await person()
    await using theirs = await person()
    for (const each of [ours, theirs]) await each.engine.pull(`${name}/base:plain`)
    await ours.engine.pull(`${name}/app:plain`)
    const archive = await saved(ours.engine, [`${name}/app:plain`], { since: `${name}/base:plain`, compression: 'gzip' })
    await theirs.engine.load(archive)
    await isWhole(theirs, `${name}/app:plain`)
  })

  test('takes along a compressed layer that the base has in another form: nobody could make it again', async () => {
    await using ours = await person()
    await using theirs = await person()
    for (const each of [ours, theirs]) await each.engine.pull(`${name}/base:1`)
    await ours.engine.pull(`${name}/app:zstd`)
    const archive = await saved(ours.engine, [`${name}/app:zstd`], { since: `${name}/base:1` })
    assert.ok(bytesOf(archive) > 300_000)
    await theirs.engine.load(archive)
    assert.equal(await manifestOf(theirs.engine, `${name}/app:zstd`), await manifestOf(ours.engine, `${name}/app:zstd`))
  })

  test('is loaded by who has the layers in another form: the image runs on, under another digest', async () => {
    await using ours = await person()
    await using theirs = await person()
    for (const tag of ['base:1', 'app:2']) await ours.engine.pull(`${name}/${tag}`)
    // The same layers, as plain tars.
    await theirs.engine.pull(`${name}/base:plain`)
    const archive = await saved(ours.engine, [`${name}/app:2`], { since: `${name}/base:1` })
    const told: string[] = []
    const [loaded] = await theirs.engine.load(archive, { onProgress: ({ id, status }) => void (id === '' && told.push(status)) })
    assert.equal(loaded!.imageId, (await ours.engine.inspectImage(`${name}/app:2`)).Id)
    const digest = await manifestOf(theirs.engine, `${name}/app:2`)
    assert.notEqual(digest, await manifestOf(ours.engine, `${name}/app:2`))
    assert.deepEqual(told, [`The base is here in another form: the image has the digest ${digest}`])
    await isWhole(theirs, `${name}/app:2`)
  })

  test('of several images, and of one that has nothing in common, which is whole', async () => {
    await using ours = await person()
    await using theirs = await person()
    for (const tag of ['base:1', 'app:1', 'app:2', 'base:other']) await ours.engine.pull(`${name}/${tag}`)
    await theirs.engine.pull(`${name}/app:1`)
    const archive = await saved(ours.engine, [`${name}/app:2`, `${name}/base:1`], { since: `${name}/app:1` })
    assert.ok(bytesOf(archive) < 30_000)
    assert.equal((await theirs.engine.load(archive)).length, 2)
    await using nobody = await person()
    await ours.engine.pull(`${name}/app:1`)
    const tar = join(scratch, 'alone.tar')
    writeFileSync(tar, tarOf({ alone: 'alone' }))
    await ours.engine.import(tar, { reference: 'alone:1' })
    const whole = await saved(ours.engine, ['alone:1'], { since: `${name}/app:1` })
    assert.equal((await nobody.engine.load(whole))[0]!.name, 'alone:1')
  })
})

describe('load() of what is new since an image', () => {
  let archive: string
  before(async () => {
    await using ours = await person()
    for (const tag of ['base:1', 'app:2']) await ours.engine.pull(`${name}/${tag}`)
    archive = await saved(ours.engine, [`${name}/app:2`], { since: `${name}/base:1` })
    await assert.rejects(ours.engine.save([`${name}/app:2`], { since: 'nowhere:1' }), { code: 'STRATA_NO_SUCH_IMAGE' })
  })

  const isMissing = (error: unknown): boolean =>
    isStrataError(error, 'notFound') &&
    error.code === 'STRATA_BASE_MISSING' &&
    error.message.includes(`only what was new since "${name}/base:1" (sha256:`) &&
    error.hint !== undefined

  test('names the base that is missing, or another one under its name, and takes nothing', async () => {
    await using theirs = await person()
    await assert.rejects(theirs.engine.load(archive), isMissing)
    assert.deepEqual(await theirs.engine.images({ all: true }), [])
    await theirs.engine.pull(`${name}/base:other`)
    await theirs.engine.tag(`${name}/base:other`, `${name}/base:1`)
    await assert.rejects(theirs.engine.load(archive), isMissing)
    await assert.rejects(theirs.engine.copy(`oci-archive:${archive}`, 'strata:x'), isMissing)
    assert.equal((await theirs.engine.images({ all: true })).length, 1)
    await theirs.engine.pull(`${name}/base:1`)
    await theirs.engine.load(archive)
  })

  test('copy() takes it into the store on its base, and nowhere else', async () => {
    await using theirs = await person()
    await theirs.engine.pull(`${name}/base:plain`)
    const place = join(scratch, 'nowhere')
    for (const kind of ['dir', 'oci', 'oci-archive', 'docker-archive']) {
      await assert.rejects(theirs.engine.copy(`oci-archive:${archive}`, `${kind}:${place}`), {
        kind: 'unsupported',
        code: 'STRATA_ARCHIVE_NEEDS_BASE',
        hint: /strata load/,
      })
      assert.ok(!existsSync(place), kind)
    }
    await assert.rejects(theirs.engine.copy(`oci-archive:${archive}`, 'strata:copied:1', { preserveDigests: true }), {
      code: 'STRATA_DIGEST_CHANGES',
    })
    await theirs.engine.copy(`oci-archive:${archive}`, 'strata:copied:1')
    assert.ok((await theirs.engine.inspectImage('copied:1')).Id)
  })

  test('another engine says that something is missing', async () => {
    await assert.rejects(must('skopeo', '--insecure-policy', 'copy', '-q', `docker-archive:${archive}`, `dir:${join(scratch, 'no')}`))
    await assert.rejects(must('skopeo', '--insecure-policy', 'copy', '-q', `oci-archive:${archive}`, `dir:${join(scratch, 'no')}`))
  })
})
