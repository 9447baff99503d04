import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Engine, type EngineOptions, openEngine, type RegistryServer, type ServeOptions } from '../../src/engine/index.ts'
import { type Descriptor, describeBytes, MEDIA_TYPES } from '../../src/oci/index.ts'

/** A store of its own that is served, for one test. */
export class Served implements AsyncDisposable {
  readonly root: string
  readonly engine: Engine
  server: RegistryServer

  private constructor(root: string, engine: Engine, server: RegistryServer) {
    this.root = root
    this.engine = engine
    this.server = server
  }

  static async start(options: ServeOptions = {}, access: Pick<EngineOptions, 'configDirectory' | 'systemDirectory'> = {}): Promise<Served> {
    const root = await mkdtemp(join(tmpdir(), 'strata-serve-'))
    const engine = await openEngine({ root: join(root, 'root'), fsync: false, configDirectory: '/nonexistent', ...access })
    return new Served(root, engine, await engine.serve({ listen: ':0', ...options }))
  }

  get address(): string {
    return this.server.address
  }

  /** Ends the server and starts another one of the same store on the same port. */
  async restart(options: ServeOptions): Promise<void> {
    await this.server.close()
    // Until this process has seen that its connections are closed, it would use them.
    await sleep(50)
    this.server = await this.engine.serve({ listen: this.address, ...options })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.server.close()
    await this.engine.close()
    await rm(this.root, { recursive: true, force: true })
  }

  /** One request; its answer's body is read by the caller, or not at all. */
  request(
    method: string,
    path: string,
    init: { readonly headers?: Record<string, string>; readonly body?: Uint8Array | string } = {},
  ): Promise<Response> {
    const { headers = {}, body } = init
    return fetch(new URL(path, this.server.url), {
      method,
      headers,
      redirect: 'manual',
      ...(body === undefined ? {} : { body: typeof body === 'string' ? body : new Uint8Array(body) }),
    })
  }

  /** As `request`, and the answer must have this status. */
  async must(status: number, method: string, path: string, init: Parameters<Served['request']>[2] = {}): Promise<Response> {
    const response = await this.request(method, path, init)
    if (response.status !== status) assert.fail(`${method} ${path}: ${response.status} in place of ${status}: ${await response.text()}`)
    return response
  }

  /** Pushes a blob the usual way. */
  async blob(repository: string, bytes: Uint8Array, mediaType: string = MEDIA_TYPES.layer): Promise<Descriptor> {
    const target = describeBytes(mediaType, bytes)
    const begun = await this.must(202, 'POST', `/v2/${repository}/blobs/uploads/`)
    await this.must(201, 'PUT', `${begun.headers.get('location')}?digest=${target.digest}`, { body: bytes })
    return target
  }

  /** Pushes a document; `at` is a tag, and its digest without one. */
  async document(
    repository: string,
    document: Readonly<Record<string, unknown>> & { readonly mediaType: string },
    at?: string,
  ): Promise<Descriptor> {
    const bytes = Buffer.from(JSON.stringify(document))
    const target = describeBytes(document.mediaType, bytes)
    await this.must(201, 'PUT', `/v2/${repository}/manifests/${at ?? target.digest}`, {
      headers: { 'content-type': document.mediaType },
      body: bytes,
    })
    return target
  }

  /** An artifact with one blob. */
  async artifact(repository: string, text: string, more: object = {}, at?: string): Promise<Descriptor> {
    const config = await this.blob(repository, Buffer.from('{}'), MEDIA_TYPES.empty)
    const layer = await this.blob(repository, Buffer.from(text), 'text/plain')
    return this.document(repository, { schemaVersion: 2, mediaType: MEDIA_TYPES.manifest, config, layers: [layer], ...more }, at)
  }
}

/** The codes of an answer that says what went wrong. */
export async function codesOf(response: Response): Promise<readonly string[]> {
  const { errors } = (await response.json()) as { errors: readonly { code: string }[] }
  return errors.map(({ code }) => code)
}

export const sha512 = (bytes: Uint8Array): string => `sha512:${createHash('sha512').update(bytes).digest('hex')}`
