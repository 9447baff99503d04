import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { isStrataError } from '../base/index.ts'
import {
  checkIsImage,
  checkManifestAgainstConfig,
  type Descriptor,
  describeBytes,
  digestOf,
  enterIndex,
  type ImageConfig,
  isImageManifest,
  LIMITS,
  MEDIA_TYPES,
  parseDiffId,
  parseIndex,
  parseManifest,
  parseManifestOrIndex,
} from './index.ts'

const T = MEDIA_TYPES
const json = (value: unknown): Uint8Array => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value))
const descriptor = (mediaType: string, text: string): Descriptor => describeBytes(mediaType, Buffer.from(text))
const INVALID = { code: 'STRATA_MANIFEST_INVALID', kind: 'invalidArgument' }

const LAYERS = [descriptor(T.layerGzip, 'base'), descriptor(T.layerZstd, 'top')]
const MANIFEST = { schemaVersion: 2, mediaType: T.manifest, config: descriptor(T.config, '{}'), layers: LAYERS }
const ENTRY = { ...descriptor(T.manifest, 'm'), platform: { os: 'linux', architecture: 'arm64', variant: 'v8' } }
const INDEX = { schemaVersion: 2, mediaType: T.index, manifests: [ENTRY] }

test('parseManifest() reads OCI and Docker manifests and keeps what it does not know', () => {
  const whole = {
    ...MANIFEST,
    layers: [{ ...LAYERS[0], urls: ['https://example.com/x'], annotations: { a: 'b' }, 'x-new': [1] }],
    artifactType: 'application/x-thing',
    subject: ENTRY,
    annotations: { created: 'today' },
    'org.example.new': { deep: [null, true, 1.5] },
  }
  assert.deepEqual(parseManifest(json(whole)), whole)
  const docker = { ...MANIFEST, mediaType: T.dockerManifest }
  assert.deepEqual(parseManifest(json(docker), T.dockerManifest), docker)
})

test('parseManifest() fills in the media type that a manifest leaves out', () => {
  const { mediaType: _, ...bare } = MANIFEST
  assert.equal(parseManifest(json(bare)).mediaType, T.manifest)
  assert.equal(parseManifest(json({ ...bare, mediaType: '' })).mediaType, T.manifest)
  assert.equal(parseManifest(json(bare), T.dockerManifest).mediaType, T.dockerManifest)
})

test('parseManifest() takes null for an empty list and for an absent field, as Go writes them', () => {
  const manifest = parseManifest(json({ ...MANIFEST, layers: null, annotations: null, subject: null }))
  assert.deepEqual(manifest, { ...MANIFEST, layers: [] })
  assert.deepEqual(parseIndex(json({ ...INDEX, manifests: null })).manifests, [])
})

test('parseManifestOrIndex() tells the two apart by media type, header or fields', () => {
  assert.equal(parseManifestOrIndex(json(MANIFEST)).kind, 'manifest')
  assert.equal(parseManifestOrIndex(json(INDEX)).kind, 'index')
  const { mediaType: _, ...bare } = INDEX
  assert.deepEqual(parseManifestOrIndex(json(bare)), { kind: 'index', index: INDEX })
  assert.deepEqual(parseManifestOrIndex(json(bare), T.dockerManifestList), {
    kind: 'index',
    index: { ...bare, mediaType: T.dockerManifestList },
  })
})

test('hostile #51: a document with the fields of both kinds is neither', () => {
  const polyglots = [
    { ...MANIFEST, manifests: [ENTRY] },
    { ...MANIFEST, manifests: [] },
    { ...MANIFEST, manifests: null },
    { ...INDEX, layers: [] },
    { ...INDEX, config: MANIFEST.config },
    { ...INDEX, fsLayers: [] },
    { ...MANIFEST, fsLayers: [] },
    { ...MANIFEST, mediaType: undefined, manifests: [ENTRY] },
    { ...MANIFEST, mediaType: undefined, Manifests: [ENTRY] },
  ]
  for (const document of polyglots) {
    for (const expected of [undefined, T.manifest, T.index]) {
      for (const parse of [parseManifest, parseIndex, parseManifestOrIndex]) assert.throws(() => parse(json(document), expected), INVALID)
    }
  }
})

test('hostile #51: the media type inside must be the one announced, and that of the document', () => {
  assert.throws(() => parseManifest(json(MANIFEST), T.dockerManifest), { ...INVALID, message: /where ".*" was announced/ })
  assert.throws(() => parseManifestOrIndex(json(MANIFEST), T.index), INVALID)
  assert.throws(() => parseManifestOrIndex(json(INDEX), T.manifest), INVALID)
  assert.throws(() => parseManifest(json({ ...MANIFEST, mediaType: T.index })), INVALID)
  assert.throws(() => parseIndex(json({ ...INDEX, mediaType: T.manifest })), INVALID)
  assert.throws(() => parseManifestOrIndex(json({ ...MANIFEST, mediaType: 'text/html' })), INVALID)
  const { mediaType: _, ...bare } = MANIFEST
  assert.throws(() => parseManifestOrIndex(json(bare), T.index), INVALID)
  assert.throws(() => parseManifestOrIndex(json(bare), 'application/json'), INVALID)
})

test('a platform of an entry is made of words, or left empty', () => {
  const withPlatform = (platform: object): Uint8Array => json({ ...INDEX, manifests: [{ ...ENTRY, platform }] })
  for (const architecture of ['', 'x86_64', 'arm64.v8-a']) parseIndex(withPlatform({ os: 'linux', architecture, variant: '' }))
  for (const name of ['os', 'architecture', 'variant']) {
    for (const value of ['\u001b[31m', 'a b', '../x', 'amd64\n', 'é', '\u202e46dma'])
      assert.throws(() => parseIndex(withPlatform({ ...ENTRY.platform, [name]: value })), { ...INVALID, message: /is no word: "/ })
  }
})

test('hostile #51: one digest is one document for every reader', () => {
  const manifest = JSON.stringify(MANIFEST)
  const twice = manifest.replace('"layers":', '"layers":[],"layers":')
  const escaped = manifest.replace('"layers":', '"\\u006cayers":[],"layers":')
  const inside = manifest.replace('"size":', '"size":1,"size":')
  for (const text of [twice, escaped, inside]) assert.throws(() => parseManifest(json(text)), { ...INVALID, message: /stands twice/ })
  // Go's decoder takes these for "layers", "mediaType" and "schemaVersion".
  for (const name of ['Layers', 'LAYERS', 'layerſ', 'mediatype', 'SchemaVersion', 'ſchemaVersion']) {
    assert.throws(() => parseManifest(json({ ...MANIFEST, [name]: [] })), { ...INVALID, message: /upper and lower case/ })
  }
  assert.doesNotThrow(() => parseManifest(json({ ...MANIFEST, annotations: { layers: 'x', Layers: 'y' } })))
})

test('hostile #52: sizes are whole and not negative', () => {
  for (const size of [-1, 1.5, '5', null, 2 ** 53, 1e300]) {
    assert.throws(() => parseManifest(json({ ...MANIFEST, layers: [{ ...LAYERS[0], size }] })), {
      ...INVALID,
      message: /layers\[0\]\.size/,
    })
    assert.throws(() => parseManifest(json({ ...MANIFEST, config: { ...MANIFEST.config, size } })), INVALID)
    assert.throws(() => parseIndex(json({ ...INDEX, manifests: [{ ...ENTRY, size }] })), { ...INVALID, message: /manifests\[0\]\.size/ })
  }
})

test('hostile #54: a digest inside a document is checked before anybody makes a path of it', () => {
  for (const digest of ['sha256:../../x', '', 'sha256:', `sha1:${'0'.repeat(40)}`, LAYERS[0]?.digest.toUpperCase(), 5, null]) {
    assert.throws(() => parseManifest(json({ ...MANIFEST, layers: [{ ...LAYERS[0], digest }] })), {
      ...INVALID,
      message: /layers\[0\]\.digest/,
    })
    assert.throws(() => parseIndex(json({ ...INDEX, manifests: [{ ...ENTRY, digest }] })), INVALID)
    assert.throws(() => parseManifest(json({ ...MANIFEST, subject: { ...ENTRY, digest } })), INVALID)
  }
})

test('isImageManifest() goes by the config and by the layers, in whatever compression', () => {
  const types: Readonly<Record<string, boolean>> = {
    [MEDIA_TYPES.layerZstd]: true,
    [MEDIA_TYPES.dockerForeignLayer]: true,
    'application/vnd.oci.image.layer.v1.tar+lz4': true,
    'application/vnd.dev.cosign.simplesigning.v1+json': false,
    'application/vnd.in-toto+json': false,
  }
  const config = descriptor(MEDIA_TYPES.config, '{}')
  for (const [type, isImage] of Object.entries(types)) {
    const manifest = parseManifest(json({ ...MANIFEST, config, layers: [descriptor(type, 'x')] }))
    assert.equal(isImageManifest(manifest), isImage, type)
    if (!isImage)
      assert.throws(() => checkIsImage(manifest), {
        code: 'STRATA_MANIFEST_NOT_AN_IMAGE',
        message: new RegExp(`its first layer has the media type "${type.replace('+', '\\+')}"$`),
      })
  }
  assert.equal(isImageManifest(parseManifest(json({ ...MANIFEST, config, layers: [] }))), true)
})

test('hostile #53: checkManifestAgainstConfig() wants a diff id for each layer', () => {
  const diffId = parseDiffId(digestOf(Buffer.from('x')))
  const config = (count: number): ImageConfig => ({
    os: 'linux',
    architecture: 'amd64',
    rootfs: { type: 'layers', diff_ids: Array.from({ length: count }, () => diffId) },
  })
  const manifest = parseManifest(json(MANIFEST))
  checkManifestAgainstConfig(manifest, config(2))
  for (const count of [0, 1, 3]) {
    assert.throws(() => checkManifestAgainstConfig(manifest, config(count)), { code: 'STRATA_MANIFEST_CONFIG_MISMATCH' })
  }
  const artifact = parseManifest(json({ ...MANIFEST, config: descriptor('application/vnd.cncf.helm.config.v1+json', '{}') }))
  assert.throws(() => checkManifestAgainstConfig(artifact, config(2)), { code: 'STRATA_MANIFEST_NOT_AN_IMAGE', kind: 'unsupported' })
})

test('hostile #55: documents are bounded in bytes, entries and nesting', () => {
  const padded = (bytes: number): Uint8Array => Buffer.from(JSON.stringify(MANIFEST).padEnd(bytes))
  assert.doesNotThrow(() => parseManifest(padded(LIMITS.manifestBytes)))
  assert.throws(() => parseManifest(padded(LIMITS.manifestBytes + 1)), { ...INVALID, message: /bytes, more than/ })
  assert.throws(() => parseManifestOrIndex(Buffer.alloc(200 * 1024 * 1024)), INVALID)
  const many = (count: number): Uint8Array => json({ ...INDEX, manifests: Array.from({ length: count }, () => ENTRY) })
  assert.equal(parseIndex(many(LIMITS.indexEntries)).manifests.length, LIMITS.indexEntries)
  assert.throws(() => parseIndex(many(LIMITS.indexEntries + 1)), { ...INVALID, message: /10001 elements, more than 10000/ })
  assert.throws(() => parseIndex(many(100_000)), INVALID)
  const layers = Array.from({ length: LIMITS.layers + 1 }, () => LAYERS[0])
  assert.throws(() => parseManifest(json({ ...MANIFEST, layers })), { ...INVALID, message: /4097 elements/ })
  const nested = (depth: number): Uint8Array =>
    json(`{"x":${'['.repeat(depth - 1)}${']'.repeat(depth - 1)},${JSON.stringify(MANIFEST).slice(1)}`)
  assert.doesNotThrow(() => JSON.stringify(parseManifest(nested(LIMITS.nesting))))
  for (const depth of [LIMITS.nesting + 1, 1_000_000])
    assert.throws(() => parseManifest(nested(depth)), { ...INVALID, message: /deep inside/ })
  assert.throws(() => parseManifest(json('['.repeat(4_000_000))), INVALID)
})

test('hostile #55: a descriptor of something that would be too large to read is refused where it stands', () => {
  const huge = 200 * 1024 * 1024
  assert.throws(() => parseIndex(json({ ...INDEX, manifests: [{ ...ENTRY, size: huge }] })), {
    ...INVALID,
    message: /manifests\[0\]\.size/,
  })
  assert.throws(() => parseIndex(json({ ...INDEX, manifests: [{ ...ENTRY, mediaType: T.index, size: huge }] })), INVALID)
  assert.throws(() => parseManifest(json({ ...MANIFEST, config: { ...MANIFEST.config, size: huge } })), {
    ...INVALID,
    message: /config\.size/,
  })
  assert.doesNotThrow(() => parseManifest(json({ ...MANIFEST, layers: [{ ...LAYERS[0], size: 1000 * huge }] })))
})

test('hostile #55: one digest has one size and one media type', () => {
  const [layer] = LAYERS
  assert.doesNotThrow(() => parseManifest(json({ ...MANIFEST, layers: [layer, layer] })))
  assert.throws(() => parseManifest(json({ ...MANIFEST, layers: [layer, { ...layer, size: 5 }] })), { ...INVALID, message: /two sizes/ })
  assert.throws(() => parseManifest(json({ ...MANIFEST, layers: [layer, { ...layer, mediaType: T.layer }] })), {
    ...INVALID,
    message: /two media types/,
  })
  const twoPlatforms = [ENTRY, { ...ENTRY, platform: { os: 'linux', architecture: 'amd64' } }]
  assert.equal(parseIndex(json({ ...INDEX, manifests: twoPlatforms })).manifests.length, 2)
  assert.throws(() => parseIndex(json({ ...INDEX, manifests: [ENTRY, { ...ENTRY, mediaType: T.index }] })), {
    ...INVALID,
    message: /two media types/,
  })
  assert.throws(() => parseIndex(json({ ...INDEX, manifests: [ENTRY, { ...ENTRY, size: 2 }] })), { ...INVALID, message: /two sizes/ })
})

test('hostile #55: enterIndex() stops at cycles and at depth', () => {
  const digests = ['a', 'b', 'c', 'd', 'e'].map(text => digestOf(Buffer.from(text)))
  let ancestors: readonly ReturnType<typeof digestOf>[] = []
  for (const digest of digests.slice(0, LIMITS.indexDepth)) ancestors = enterIndex(ancestors, digest)
  assert.deepEqual(ancestors, digests.slice(0, 4))
  assert.throws(() => enterIndex(ancestors, digestOf(Buffer.from('e'))), { ...INVALID, message: /inside 4 others/ })
  assert.throws(() => enterIndex(ancestors.slice(0, 2), digestOf(Buffer.from('a'))), { ...INVALID, message: /contains itself/ })
  assert.doesNotThrow(() => enterIndex(ancestors.slice(0, 2), digestOf(Buffer.from('e')), 2))
  assert.throws(() => enterIndex(ancestors.slice(0, 2), digestOf(Buffer.from('e')), 3), {
    ...INVALID,
    message: /in it stands inside 4 others/,
  })
})

test('schema 1 is refused with the way out', () => {
  const signed = { schemaVersion: 1, name: 'library/x', tag: 'latest', architecture: 'amd64', fsLayers: [], history: [], signatures: [] }
  const refused = { code: 'STRATA_MANIFEST_SCHEMA1', kind: 'unsupported', hint: /Push the image again/ }
  for (const parse of [parseManifest, parseIndex, parseManifestOrIndex]) {
    assert.throws(() => parse(json(signed)), refused)
    assert.throws(() => parse(json(signed), T.dockerSchema1Signed), refused)
    assert.throws(() => parse(json({ ...signed, schemaVersion: 2, mediaType: T.dockerSchema1 })), refused)
    assert.throws(() => parse(json(MANIFEST), T.dockerSchema1), refused)
  }
})

test('hostile #60: what is no manifest gets a typed error', () => {
  const bad: unknown[] = [
    '',
    'null',
    '[]',
    '5',
    '"x"',
    '{',
    '{}',
    '{"schemaVersion":2}',
    `\ufeff${JSON.stringify(MANIFEST)}`,
    { ...MANIFEST, schemaVersion: 3 },
    { ...MANIFEST, schemaVersion: '2' },
    { ...MANIFEST, schemaVersion: undefined },
    { ...MANIFEST, config: undefined },
    { ...MANIFEST, config: null },
    { ...MANIFEST, config: [] },
    { ...MANIFEST, layers: undefined },
    { ...MANIFEST, layers: {} },
    { ...MANIFEST, layers: [null] },
    { ...MANIFEST, layers: [[]] },
    { ...MANIFEST, layers: [{}] },
    { ...MANIFEST, layers: [{ ...LAYERS[0], mediaType: 'no media type' }] },
    { ...MANIFEST, layers: [{ ...LAYERS[0], mediaType: '' }] },
    { ...MANIFEST, layers: [{ ...LAYERS[0], urls: [1] }] },
    { ...MANIFEST, layers: [{ ...LAYERS[0], annotations: { a: 1 } }] },
    { ...MANIFEST, layers: [{ ...LAYERS[0], platform: 'linux' }] },
    { ...MANIFEST, layers: [{ ...LAYERS[0], platform: { os: 'linux' } }] },
    { ...MANIFEST, annotations: [] },
    { ...MANIFEST, mediaType: 5 },
    { ...MANIFEST, subject: 'x' },
    JSON.stringify(MANIFEST).replace('"schemaVersion"', '"__proto__"'),
  ]
  for (const document of bad) assert.throws(() => parseManifest(json(document)), INVALID, JSON.stringify(document))
  assert.throws(() => parseManifest(Buffer.concat([json(MANIFEST), Buffer.of(0xff)])), { ...INVALID, message: /not UTF-8/ })
})

test('a name like __proto__ is a field like any other', () => {
  const manifest = parseManifest(json(JSON.stringify(MANIFEST).replace('{', '{"__proto__":{"layers":[]},')))
  assert.deepEqual(Object.keys(manifest), ['__proto__', ...Object.keys(MANIFEST)])
  assert.equal(Object.getPrototypeOf(manifest), Object.prototype)
})

test('messages about hostile text stay on one printable line', () => {
  const error = (() => {
    try {
      parseManifest(json({ ...MANIFEST, mediaType: `\u001b[2J\n${'x'.repeat(5000)}` }))
    } catch (error) {
      return error
    }
    return undefined
  })()
  assert.ok(isStrataError(error))
  assert.match(error.message, /^[\x20-\x7e…]{1,300}$/)
})

test('hostile #60: parsers throw nothing but a StrataError on mutilated documents', () => {
  const leaf = fc.oneof(fc.jsonValue({ maxDepth: 2 }), fc.constantFrom(T.manifest, T.index, LAYERS[0]?.digest, 2, -1))
  const document = fc
    .tuple(fc.constantFrom(MANIFEST, INDEX), fc.array(fc.tuple(fc.nat(), leaf), { maxLength: 4 }))
    .map(([valid, mutations]) => {
      const copy = structuredClone(valid) as unknown
      for (const [seed, value] of mutations) mutate(copy, seed, value)
      return json(copy)
    })
  const spliced = fc.tuple(document, fc.nat(), fc.uint8Array({ maxLength: 3 })).map(([bytes, at, noise]) => {
    const cut = at % (bytes.length + 1)
    return Buffer.concat([bytes.subarray(0, cut), noise, bytes.subarray(cut + noise.length)])
  })
  let accepted = 0
  fc.assert(
    fc.property(fc.oneof(document, spliced, fc.uint8Array()), bytes => {
      for (const parse of [parseManifest, parseIndex, parseManifestOrIndex]) {
        try {
          const parsed = parse(bytes)
          accepted++
          if (parse === parseManifest) assert.deepEqual(parse(json(parsed)), parsed)
        } catch (error) {
          assert.ok(isStrataError(error), String(error))
        }
      }
    }),
    { numRuns: 5000 },
  )
  assert.ok(accepted > 100, 'some documents stay valid')
})

/** Puts `value` in the place of one node of `tree`, which `seed` picks. */
function mutate(tree: unknown, seed: number, value: unknown): void {
  if (typeof tree !== 'object' || tree === null) return
  const names = Object.keys(tree)
  if (names.length === 0) return
  const name = names[seed % names.length] as keyof typeof tree
  const next = Math.floor(seed / names.length)
  if (next % 3 === 0 || typeof tree[name] !== 'object') Object.assign(tree, { [name]: value })
  else mutate(tree[name], next, value)
}
