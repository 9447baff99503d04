import assert from 'node:assert/strict'
import { test } from 'node:test'
import { streamOf } from '../base/index.ts'
import type { BlobInfo } from '../content/index.ts'
import type { Lease } from '../metadata/index.ts'
import { describeBytes, type Descriptor, type Digest, MEDIA_TYPES, parseManifestOrIndex } from '../oci/index.ts'
import type { ServedStores } from './options.ts'
import { PushedGraph } from './pushedGraph.ts'
import type { Repositories } from './repositories.ts'

test('everything is held by the lease before anybody looks whether it is there: a collection may run at any time', async () => {
  const blobs = new Map<Digest, { readonly info: BlobInfo; readonly bytes: Buffer }>()
  const store = (mediaType: string, bytes: Buffer): Descriptor => {
    const descriptor = describeBytes(mediaType, bytes)
    blobs.set(descriptor.digest, { info: { ...descriptor, state: 'kept', createdAt: new Date() }, bytes })
    return descriptor
  }
  const config = store(MEDIA_TYPES.empty, Buffer.from('{}'))
  const layer = store('text/plain', Buffer.from('text'))
  const manifest = store(
    MEDIA_TYPES.manifest,
    Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: MEDIA_TYPES.manifest, config, layers: [layer] })),
  )
  const index = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: MEDIA_TYPES.index, manifests: [manifest] }))

  const held = new Set<string>()
  const seen: Digest[] = []
  const look = (digest: Digest): void => {
    assert.ok(held.has(digest), digest)
    seen.push(digest)
  }
  const content = {
    stat: async (digest: Digest) => {
      look(digest)
      return blobs.get(digest)?.info
    },
    open: async ({ digest }: Descriptor) => streamOf(blobs.get(digest)!.bytes),
  }
  const repositories = {
    reaches: (_: string, digest: Digest) => {
      look(digest)
      return true
    },
  }
  const lease = { add: (...resources: readonly { readonly id: string }[]) => resources.forEach(({ id }) => held.add(id)) }
  const graph = new PushedGraph(describeBytes(MEDIA_TYPES.index, index), parseManifestOrIndex(index), {
    stores: { content } as unknown as ServedStores,
    repositories: repositories as unknown as Repositories,
    name: 'team/app',
    lease: lease as unknown as Lease,
  })
  await graph.check()
  assert.deepEqual(new Set(seen), new Set([config, layer, manifest].map(({ digest }) => digest)))

  const stranger = describeBytes('text/plain', Buffer.from('else'))
  await assert.rejects(graph.open(stranger), { code: 'MANIFEST_BLOB_UNKNOWN' })
  blobs.delete(layer.digest)
  await assert.rejects(graph.check(), { code: 'MANIFEST_BLOB_UNKNOWN' })
})
