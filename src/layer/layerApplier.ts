import { createHash, type Hash } from 'node:crypto'
import { systemError } from '../base/index.ts'
import { type DiffId, parseDiffId } from '../oci/index.ts'
import { type TarEntry, TarParser, type TarSink } from '../tar/index.ts'
import { type EncodedIndex, encodeLayerIndex } from './layerIndexEncode.ts'
import { LayerModel, type LayerName } from './layerModel.ts'
import { quotePath } from './layerPath.ts'
import type { LayerTreeWriter } from './layerTreeWriter.ts'
import type { TarHeadersWriter } from './tarHeaders.ts'

/** Bounds on one layer; more rejects with `resourceExhausted`. */
export interface LayerLimits {
  /** Entries of the tar and names of the tree, implied directories included. Default 5,000,000. */
  readonly entries?: number
  /** Logical bytes of one file. Default 16 TiB, the largest file of ext4. */
  readonly fileBytes?: number
}

const DEFAULT_ENTRIES = 5_000_000

export interface ApplierParts {
  /** Makes the writer for the model; absent when no tree is wanted. */
  readonly writer?: (model: LayerModel) => LayerTreeWriter
  readonly headers?: TarHeadersWriter
  readonly limits?: LayerLimits
}

/** What one pass over a plain layer tar gives. */
export interface LayerPass {
  readonly diffId: DiffId
  readonly tarBytes: number
  readonly index: EncodedIndex
  readonly model: LayerModel
  readonly strippedXattrs: number
  readonly skippedXattrs: number
}

/**
 * One pass over a plain layer tar: hashes it, learns its meaning, writes the tree and keeps the headers.
 * Synchronous; feed it with `write`, then call `finish`, and `close` in any case.
 */
export class LayerApplier implements TarSink {
  readonly #hash: Hash = createHash('sha256')
  readonly #parser: TarParser
  readonly #model: LayerModel
  readonly #writer: LayerTreeWriter | undefined
  readonly #headers: TarHeadersWriter | undefined
  #tarBytes = 0
  #entry: TarEntry | undefined
  #payloadDone = 0
  /** Where the payload of the present entry goes. */
  #payload: 'file' | 'kept' | 'nowhere' = 'nowhere'

  constructor({ writer, headers, limits = {} }: ApplierParts) {
    const { entries = DEFAULT_ENTRIES, fileBytes } = limits
    this.#model = new LayerModel(entries)
    this.#parser = new TarParser(this, fileBytes === undefined ? { entries } : { entries, fileBytes })
    this.#writer = writer?.(this.#model)
    this.#headers = headers
  }

  write(chunk: Uint8Array): void {
    this.#hash.update(chunk)
    this.#tarBytes += chunk.length
    try {
      this.#parser.write(chunk)
    } catch (error) {
      throw this.#explained(error)
    }
  }

  /** @throws StrataError `dataLoss` when the tar is truncated, and what the last steps can fail with */
  finish(): LayerPass {
    this.#parser.end()
    this.#entry = undefined
    try {
      this.#model.finish()
      this.#writer?.finish()
      this.#headers?.finish()
    } catch (error) {
      throw this.#explained(error)
    }
    const tar = { diffId: parseDiffId(`sha256:${this.#hash.digest('hex')}`), tarBytes: this.#tarBytes }
    return {
      ...tar,
      index: encodeLayerIndex(this.#model, tar),
      model: this.#model,
      strippedXattrs: this.#model.strippedXattrs,
      skippedXattrs: this.#writer?.skippedXattrs ?? 0,
    }
  }

  close(): void {
    this.#writer?.close()
    this.#headers?.close()
  }

  entry(entry: TarEntry): void {
    this.#entry = entry
    this.#payloadDone = 0
    this.#payload = 'kept'
    const { node, linkOf, reattributed, replaced } = this.#model.place(entry)
    if (replaced !== undefined) this.#remove(replaced)
    if (node === undefined) return
    if (linkOf === undefined && node.inode.type === 'file' && node.inode.lower === undefined) this.#payload = 'file'
    if (this.#writer === undefined || node.inode.lower !== undefined || node.inode.type === 'directory') return
    if (linkOf !== undefined) {
      if (linkOf !== node) this.#writer.link(node, linkOf)
      if (reattributed === true) this.#writer.setAttributes(linkOf)
    } else if (node.inode.type === 'file') this.#writer.beginFile(node)
    else this.#writer.makeOther(node)
  }

  data(chunk: Uint8Array): void {
    if (this.#headers !== undefined) {
      this.#headers.payload(chunk.length)
      if (this.#payload === 'kept') this.#headers.keep(this.#entry!.dataOffset + this.#payloadDone, chunk)
    }
    this.#payloadDone += chunk.length
    if (this.#payload === 'file') this.#writer?.write(chunk)
  }

  endOfEntry(): void {
    if (this.#payload === 'file') this.#writer?.endFile()
    this.#payload = 'nowhere'
  }

  raw(chunk: Uint8Array): void {
    this.#headers?.raw(chunk)
  }

  #remove(replaced: LayerName): void {
    const headers = this.#headers
    if (headers === undefined) {
      this.#writer?.remove(replaced, undefined)
      return
    }
    const done = new Map<object, number>()
    this.#writer?.remove(replaced, (inode, chunk) => {
      const at = done.get(inode) ?? 0
      headers.keep(inode.dataOffset + at, chunk)
      done.set(inode, at + chunk.length)
    })
  }

  /** Names the entry that the operating system had trouble with. */
  #explained(error: unknown): unknown {
    return systemError(this.#entry === undefined ? 'apply layer' : `apply layer entry ${quotePath(this.#entry.path)}`, error)
  }
}
