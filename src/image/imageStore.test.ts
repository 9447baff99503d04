import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, beforeEach, test } from 'node:test'
import { type Metadata, openMetadata } from '../metadata/index.ts'
import { type Digest, digestOf, type ImageId, MEDIA_TYPES, parseReference, type Reference } from '../oci/index.ts'
import { type ImageFacts, ImageStore } from './imageStore.ts'
import type { Origin } from './origins.ts'
import type { Referrer } from './roots.ts'

const scratch = mkdtempSync(join(tmpdir(), 'strata-image-store-'))
after(() => rmSync(scratch, { recursive: true, force: true }))

let metadata: Metadata
let images: ImageStore
let databases = 0
beforeEach(() => {
  databases += 1
  metadata = openMetadata(join(scratch, `${databases}.db`))
  images = new ImageStore(metadata)
})

const id = (prefix: string): ImageId => `sha256:${prefix.padEnd(64, '0')}` as ImageId

/** Stores an image of a manifest that `text` stands for. */
function put(text: string, imageId: ImageId, more: Partial<ImageFacts> = {}, origin?: Origin): Digest {
  const manifest = { mediaType: MEDIA_TYPES.manifest, digest: digestOf(Buffer.from(text)), size: text.length }
  const facts = {
    manifest,
    id: imageId,
    parentId: undefined,
    diffIds: [],
    chainId: undefined,
    createdAt: undefined,
    labels: {},
    contentBytes: 1,
  }
  images.put({ ...facts, ...more }, ...(origin === undefined ? [] : [origin]))
  return manifest.digest
}

test('resolve() takes a whole id, a name, and a unique prefix of an id, in this order', () => {
  const named = put('named', id('1111'))
  put('other', id('abcd'))
  // A name that also begins an id is the name; 64 hex digits are always an id.
  images.setName(parseReference('abcd'), named)
  assert.equal(images.resolve('abcd').id, id('1111'))
  assert.equal(images.resolve('abcd:latest').id, id('1111'))
  assert.equal(images.resolve('abcd0').id, id('abcd'))
  assert.equal(images.resolve('sha256:abcd').id, id('abcd'))
  assert.equal(images.resolve(id('abcd')).id, id('abcd'))
  assert.equal(images.resolve(id('abcd').slice(7)).id, id('abcd'))
})

test('resolve() says of what is not here, of what is ambiguous, and of what can be no name, which it is', () => {
  put('one', id('a1'))
  put('two', id('a2'))
  assert.throws(() => images.resolve('a'), { kind: 'invalidArgument', code: 'STRATA_AMBIGUOUS_ID' })
  assert.equal(images.resolve('a1').id, id('a1'))
  assert.throws(() => images.resolve('a3'), { kind: 'notFound', code: 'STRATA_NO_SUCH_IMAGE' })
  assert.throws(() => images.resolve(id('ff')), { kind: 'notFound' })
  assert.throws(() => images.resolve('UPPER'), { kind: 'invalidArgument', code: 'STRATA_REFERENCE_INVALID' })
  assert.equal(images.find('UPPER'), undefined)
})

test('two manifests of one config are one id, which no prefix finds ambiguous', () => {
  put('compressed', id('a1'))
  const plain = put('plain', id('a1'))
  images.setName(parseReference('x'), plain)
  assert.equal(images.resolve('a1').manifest.digest, plain, 'the one with names comes first')
  assert.equal(images.withId(id('a1')).length, 2)
})

test('nameMeant() tells a name from an id, also where the id begins with the name', () => {
  const digest = put('b', id('b'))
  assert.equal(images.nameMeant('b'), undefined)
  images.setName(parseReference('b'), digest)
  assert.deepEqual(images.nameMeant('b'), { domain: 'docker.io', path: 'library/b', tag: 'latest' })
  assert.equal(images.nameMeant('b0'), undefined)
  assert.equal(images.nameMeant('b'.padEnd(64, '0')), undefined)
})

test('setName() moves a name and tells who had it; the one that lost it stays', () => {
  const first = put('first', id('1'))
  const second = put('second', id('2'))
  const name = parseReference('team/app:1')
  assert.equal(images.setName(name, first), undefined)
  assert.equal(images.setName(name, second), first)
  assert.equal(images.setName(name, second), second)
  assert.deepEqual(images.get(first)?.names, [])
  assert.deepEqual(images.get(second)?.names, ['team/app:1'])
  assert.equal(images.named(parseReference('docker.io/team/app:1'))?.id, id('2'))
  assert.ok(images.get(second)!.lastTaggedAt! <= new Date())
})

test('setName() refuses a name with a digest, and an image that is not here', () => {
  const manifest = put('one', id('1'))
  assert.throws(() => images.setName(parseReference(`a@${manifest}`), manifest), { code: 'STRATA_NAME_HAS_DIGEST' })
  assert.throws(() => images.setName(parseReference('a'), digestOf(Buffer.from('absent'))), { kind: 'conflict' })
  assert.deepEqual(
    images.list().flatMap(({ names }) => names),
    [],
  )
})

test('repository digests find an image, move with what a registry says, and go with the repository', () => {
  const first = put('first', id('1'))
  const second = put('second', id('2'))
  const index = digestOf(Buffer.from('index'))
  const reference = parseReference('localhost:5000/app:1')
  images.addRepositoryDigest(reference, index, first)
  images.addRepositoryDigest(reference, first, first)
  assert.equal(images.resolve(`localhost:5000/app@${index}`).id, id('1'))
  images.addRepositoryDigest(reference, index, second)
  assert.equal(images.resolve(`localhost:5000/app@${index}`).id, id('2'))
  assert.deepEqual(images.removeRepositoryDigests(reference, first), [`localhost:5000/app@${first}`])
  assert.deepEqual(images.get(first)?.repositoryDigests, [])
  assert.equal(images.removeName(parseReference(`localhost:5000/app@${index}`)), true)
  assert.equal(images.removeName(parseReference(`localhost:5000/app@${index}`)), false)
})

test('delete() takes names and repository digests along', () => {
  const manifest = put('one', id('1'))
  images.setName(parseReference('a'), manifest)
  images.addRepositoryDigest(parseReference('a'), manifest, manifest)
  images.delete(manifest)
  assert.equal(images.named(parseReference('a')), undefined)
  assert.equal(images.find(`a@${manifest}`), undefined)
  assert.deepEqual(images.references(manifest), [])
})

test('references() are the manifest, the layers and the top of the stack', () => {
  const diffId = digestOf(Buffer.from('layer')) as never
  const manifest = put('one', id('1'), { diffIds: [diffId], chainId: diffId })
  assert.deepEqual(images.references(manifest), [
    { kind: 'blob', id: manifest },
    { kind: 'layer', id: diffId },
    { kind: 'snapshot', id: diffId },
  ])
})

test('put() of a known image keeps its parent and its names', () => {
  const manifest = put('one', id('1'), { parentId: id('9') })
  images.setName(parseReference('a'), manifest)
  put('one', id('1'), { contentBytes: 7 })
  const { parentId, names, contentBytes } = images.get(manifest)!
  assert.deepEqual({ parentId, names, contentBytes }, { parentId: id('9'), names: ['a:latest'], contentBytes: 7 })
})

const from = (repository: string, more: Partial<Origin> = {}): Origin => ({
  repository: `registry.example/${repository}`,
  given: digestOf(Buffer.from('given')),
  isPushed: false,
  ...more,
})

test('where an image came from is known until the image goes, whatever happens to its names', () => {
  const name = parseReference('registry.example/good:1')
  const origin = from('good')
  const manifest = put('one', id('1'), {}, origin)
  images.setName(name, manifest)
  images.addRepositoryDigest(name, origin.given, manifest)
  images.removeRepositoryDigests(name, manifest)
  images.removeName(name)
  assert.deepEqual(images.originsOf(manifest), [origin])
  put('one', id('1'))
  put('one', id('1'), {}, from('other'))
  assert.deepEqual(images.originsOf(manifest), [origin, from('other')])
  images.delete(manifest)
  assert.deepEqual(images.originsOf(manifest), [])
})

test('where an image came from is known, also when what was pushed of it by digest goes', () => {
  const byDigest = (digest: Digest): Reference => parseReference(`registry.example/app@${digest}`)
  const pushed = from('app', { isPushed: true })
  const digest = digestOf(Buffer.from('one'))
  images.setRoot(byDigest(digest), { mediaType: MEDIA_TYPES.manifest, digest, size: 3 }, { all: [] }, pushed)
  const manifest = put('one', id('1'), {}, pushed)
  images.setName(parseReference('registry.example/app:1'), manifest)
  images.removeName(byDigest(digest))
  images.dropUnnamedRoots()
  assert.deepEqual(images.originsOf(manifest), [pushed])
})

test('what was made here stays so, also when a registry has it', () => {
  const manifest = put('one', id('1'))
  images.addRepositoryDigest(parseReference('registry.example/pushed'), manifest, manifest)
  put('one', id('1'), {}, from('pushed'))
  assert.deepEqual(images.originsOf(manifest), [])
})

test('what was pulled was not just pushed here', () => {
  const manifest = put('one', id('1'), {}, from('app'))
  put('one', id('1'), {}, from('app', { isPushed: true }))
  assert.deepEqual(images.originsOf(manifest), [from('app')])
})

test('what is said about an image counts where the image came from, and what is pushed elsewhere does not', () => {
  const manifest = put('one', id('1'), {}, from('good'))
  put('one', id('1'), {}, from('evil', { isPushed: true }))
  const said = (text: string): Referrer => ({
    descriptor: { mediaType: MEDIA_TYPES.manifest, digest: digestOf(Buffer.from(text)), size: text.length },
  })
  const [real, fake] = [said('real'), said('fake')]
  const [good, evil] = [parseReference('registry.example/good:1'), parseReference('registry.example/evil:1')]
  images.addReferrer(manifest, real, good)
  images.addReferrer(manifest, real, evil)
  images.addReferrer(manifest, fake, evil)
  const about = (name: string | undefined): readonly Referrer[] =>
    images.referrersOf(manifest, images.repositoriesAbout(manifest, name === undefined ? undefined : parseReference(name)))
  assert.deepEqual(about('registry.example/good:2'), [real])
  assert.deepEqual(about('elsewhere.example/app:1'), [real])
  assert.deepEqual(about(undefined), [real])
  assert.deepEqual(new Set(about('registry.example/evil:1')), new Set([real, fake]))
  images.removeReferrer(manifest, real.descriptor.digest, evil)
  assert.deepEqual(about('registry.example/evil:1'), [fake])
  assert.deepEqual(about('registry.example/good:1'), [real])
})
