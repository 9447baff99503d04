import assert from 'node:assert/strict'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import { type Descriptor, describeBytes, digestOf, MEDIA_TYPES } from '../../src/oci/index.ts'

/** A layer tar, and how its blob is to be packed. */
export interface CraftedLayer {
  readonly tar: Buffer
  readonly compression: 'none' | 'gzip' | 'zstd'
}

const TYPES = { none: MEDIA_TYPES.layer, gzip: MEDIA_TYPES.layerGzip, zstd: MEDIA_TYPES.layerZstd } as const

/** Puts blobs and manifests into a repository of a plain registry, byte for byte, also wrong ones. */
export class ImageCrafter {
  readonly #base: string

  /** @param address `127.0.0.1:5000` */
  constructor(address: string, repository: string) {
    this.#base = `http://${address}/v2/${repository}`
  }

  async blob(mediaType: string, bytes: Buffer): Promise<Descriptor> {
    const target = describeBytes(mediaType, bytes)
    const begun = await fetch(`${this.#base}/blobs/uploads/`, { method: 'POST' })
    const location = new URL(begun.headers.get('location')!, this.#base)
    location.searchParams.set('digest', target.digest)
    const headers = { 'content-type': 'application/octet-stream' }
    const ended = await fetch(location, { method: 'PUT', headers, body: new Uint8Array(bytes) })
    assert.equal(ended.status, 201, await ended.text())
    return target
  }

  async manifest(
    tag: string | undefined,
    document: Readonly<Record<string, unknown>> & { readonly mediaType: string },
  ): Promise<Descriptor> {
    const bytes = Buffer.from(JSON.stringify(document))
    const target = describeBytes(document.mediaType, bytes)
    const headers = { 'content-type': document.mediaType }
    const answer = await fetch(`${this.#base}/manifests/${tag ?? target.digest}`, { method: 'PUT', headers, body: new Uint8Array(bytes) })
    assert.equal(answer.status, 201, await answer.text())
    return target
  }

  /** A whole image; `config` is merged into its config. */
  async image(tag: string | undefined, layers: readonly CraftedLayer[], config: object = {}): Promise<Descriptor> {
    const blobs: Descriptor[] = []
    for (const { tar, compression } of layers) blobs.push(await this.blob(TYPES[compression], pack(tar, compression)))
    const whole = {
      architecture: 'amd64',
      os: 'linux',
      rootfs: { type: 'layers', diff_ids: layers.map(({ tar }) => digestOf(tar)) },
      ...config,
    }
    const described = await this.blob(MEDIA_TYPES.config, Buffer.from(JSON.stringify(whole)))
    return this.manifest(tag, { schemaVersion: 2, mediaType: MEDIA_TYPES.manifest, config: described, layers: blobs })
  }

  /** An index of Linux images, by their architecture. */
  async index(tag: string, images: Readonly<Record<string, Descriptor>>): Promise<Descriptor> {
    const manifests = Object.entries(images).map(([architecture, image]) => ({ ...image, platform: { os: 'linux', architecture } }))
    return this.manifest(tag, { schemaVersion: 2, mediaType: MEDIA_TYPES.index, manifests })
  }
}

function pack(tar: Buffer, compression: CraftedLayer['compression']): Buffer {
  if (compression === 'none') return tar
  return compression === 'gzip' ? gzipSync(tar) : zstdCompressSync(tar)
}
