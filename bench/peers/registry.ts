import { once } from 'node:events'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { drain, findProgram } from '../../src/base/index.ts'
import { MEDIA_TYPES } from '../../src/oci/index.ts'
import { must } from '../programs.ts'
import { Daemon } from './daemon.ts'

/** Debian's `docker-registry` on a free port of the loopback interface, with its store in a directory that stays. */
export class Registry implements AsyncDisposable {
  /** `127.0.0.1:<port>`, as in a reference. */
  readonly address: string
  readonly #daemon: Daemon

  private constructor(address: string, daemon: Daemon) {
    this.address = address
    this.#daemon = daemon
  }

  static async start(directory: string): Promise<Registry> {
    const program = await findProgram('docker-registry')
    if (program === undefined) throw new Error('Cannot start a registry: docker-registry is missing; run "apt-get install docker-registry"')
    await mkdir(directory, { recursive: true })
    const address = `127.0.0.1:${await freePort()}`
    const config = {
      version: '0.1',
      log: { level: 'error', accesslog: { disabled: true } },
      storage: { filesystem: { rootdirectory: join(directory, 'store'), maxthreads: 100 }, cache: { blobdescriptor: 'inmemory' } },
      http: { addr: address },
    }
    // YAML is a superset of JSON.
    await writeFile(join(directory, 'config.yml'), JSON.stringify(config))
    const daemon = await Daemon.start(
      { file: program, args: ['serve', join(directory, 'config.yml')] },
      { log: join(directory, 'log'), answers: async () => fetch(`http://${address}/v2/`) },
    )
    return new Registry(address, daemon)
  }

  /** The reference under which this registry has, or gets, a benchmark's image. */
  reference(image: string): string {
    return `${this.address}/bench/${image}:latest`
  }

  /** Sees to it that the registry has the image of an OCI layout. */
  async hold(image: string, layout: string): Promise<void> {
    const index = JSON.parse(await readFile(join(layout, 'index.json'), 'utf8')) as { manifests: readonly { digest: string }[] }
    const answer = await fetch(`http://${this.address}/v2/bench/${image}/manifests/latest`, {
      method: 'HEAD',
      headers: { accept: MEDIA_TYPES.manifest },
    })
    if (answer.headers.get('docker-content-digest') === index.manifests[0]?.digest) return
    const flags = ['--insecure-policy', 'copy', '--quiet', '--dest-tls-verify=false']
    await must('skopeo', [...flags, `oci:${layout}:latest`, `docker://${this.reference(image)}`])
  }

  /** Reads an image's layers and forgets them. */
  async readAll(image: string): Promise<void> {
    const repository = `http://${this.address}/v2/bench/${image}`
    const answer = await fetch(`${repository}/manifests/latest`, { headers: { accept: MEDIA_TYPES.manifest } })
    const { layers } = (await answer.json()) as { layers: readonly { digest: string }[] }
    for (const { digest } of layers) {
      const { body } = await fetch(`${repository}/blobs/${digest}`)
      if (body !== null) await drain(body)
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#daemon[Symbol.asyncDispose]()
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  server.close()
  await once(server, 'close')
  return port
}
