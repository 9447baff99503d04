import assert from 'node:assert/strict'
import { test } from 'node:test'
import { blobPath, digestOf, isForeignLayer, isIndex, isManifest, layerCompression, MEDIA_TYPES, parseImageLayout } from './index.ts'
import { isImageConfig, isSchema1 } from './mediaType.ts'

test('parseImageLayout() reads the header of a layout and keeps what it does not know', () => {
  assert.deepEqual(parseImageLayout(Buffer.from('{"imageLayoutVersion": "1.0.0", "x": 1}')), { imageLayoutVersion: '1.0.0', x: 1 })
})

test('parseImageLayout() refuses another version and what is no header', () => {
  assert.throws(() => parseImageLayout(Buffer.from('{"imageLayoutVersion":"2.0.0"}')), {
    code: 'STRATA_IMAGE_LAYOUT_VERSION',
    kind: 'unsupported',
  })
  for (const text of ['', '{}', '[]', '{"imageLayoutVersion":1}', ' '.repeat(1_000_000)]) {
    assert.throws(() => parseImageLayout(Buffer.from(text)), { code: 'STRATA_IMAGE_LAYOUT_INVALID' })
  }
})

test('blobPath() is the path of image-spec image-layout.md#blobs', () => {
  assert.equal(blobPath(digestOf(Buffer.from('abc'))), 'blobs/sha256/ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad')
})

test('every media type is of one kind', () => {
  const kinds = [isManifest, isIndex, isImageConfig, isSchema1, (type: string) => layerCompression(type) !== undefined]
  for (const type of Object.values(MEDIA_TYPES)) {
    const none = type === MEDIA_TYPES.empty || type === MEDIA_TYPES.layoutHeader
    assert.equal(kinds.filter(is => is(type)).length, none ? 0 : 1, type)
  }
})

test('layerCompression() and isForeignLayer() agree with the names of the media types', () => {
  for (const [name, type] of Object.entries(MEDIA_TYPES)) {
    const isLayer = /layer/i.test(name)
    assert.equal(layerCompression(type), isLayer ? (/(Gzip|Zstd)$/.exec(name)?.[0].toLowerCase() ?? 'none') : undefined, name)
    assert.equal(isForeignLayer(type), isLayer && /foreign/i.test(name), name)
  }
  assert.equal(layerCompression('application/octet-stream'), undefined)
})
