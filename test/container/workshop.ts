import { createHash, randomBytes } from 'node:crypto'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { Writable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { busyboxRootfs } from '../../scripts/fixtures/rootFilesystems.ts'
import { type ByteStream, fileStream, findProgram, silentLogger } from '../../src/base/index.ts'
import { type ContainerImage, type ContainerOptions, type Containers, openContainers } from '../../src/container/index.ts'
import { mountsBelow, unmount } from '../../src/host/index.ts'
import { openMetadata, openRootDirectory } from '../../src/metadata/index.ts'
import { openNetworks } from '../../src/network/index.ts'
import { chainIds, type DiffId, type ImageConfig, parseDiffId, type ProcessConfig } from '../../src/oci/index.ts'
import { DriverSnapshotter, selectDriver, type Snapshotter } from '../../src/snapshot/index.ts'

/** Why containers can not be tested here; false when they can. */
export async function whyNot(): Promise<string | false> {
  if (process.getuid?.() !== 0) return 'containers need root'
  for (const program of ['crun', 'conmon', 'busybox']) {
    if ((await findProgram(program)) === undefined) return `${program} is not installed`
  }
  return false
}

const CLEAN_UP = new URL('cleanUpProcess.ts', import.meta.url).pathname

export interface Workshop extends AsyncDisposable {
  readonly root: string
  readonly runDirectory: string
  readonly containers: Containers
  readonly snapshots: Snapshotter
  /** An image of one layer. @param tar the path of a plain tar */
  image(tar: string, config?: ProcessConfig): Promise<ContainerImage>
  busybox(config?: ProcessConfig): Promise<ContainerImage>
}

/** A root of its own, with the driver that tests ask for by $STRATA_TEST_DRIVER. Nothing of it is left when it is disposed of. */
export async function openWorkshop(where?: {
  readonly root: string
  readonly runDirectory: string
  readonly driver?: string
}): Promise<Workshop> {
  const name = randomBytes(4).toString('hex')
  const root = where?.root ?? `/var/tmp/strata-test-${name}`
  const runDirectory = where?.runDirectory ?? `/run/strata/test-${name}`
  const metadata = openMetadata(openRootDirectory(root))
  await mkdir(join(root, 'snapshots'), { recursive: true })
  const driver = await selectDriver(join(root, 'snapshots'), where?.driver ?? process.env['STRATA_TEST_DRIVER'])
  if (driver === undefined) throw new Error('there is no storage driver')
  const snapshots = new DriverSnapshotter(driver, metadata)
  const images = new Map<string, ContainerImage>()
  const containers = openContainers({
    root,
    runDirectory,
    metadata,
    snapshots,
    networks: openNetworks(),
    strataCommand: [process.execPath, CLEAN_UP, root, runDirectory, driver.name],
    findImage: async reference => images.get(reference),
    logger: silentLogger,
  })
  const workshop: Workshop = {
    root,
    runDirectory,
    containers,
    snapshots,
    async image(tar, process = {}) {
      const diffId = await diffIdOf(tar)
      const [chainId] = chainIds([diffId])
      const config: ImageConfig = { architecture: 'amd64', os: 'linux', config: process, rootfs: { type: 'layers', diff_ids: [diffId] } }
      await using stack = snapshots.importStack()
      const indexPath = join(root, `index-${randomBytes(4).toString('hex')}`)
      await stack.add(chainId!, undefined, { diffId, bytes: { path: tar }, indexPath })
      await rm(indexPath, { force: true })
      await stack.commit()
      const id = `sha256:${createHash('sha256').update(JSON.stringify(config)).digest('hex')}`
      const image: ContainerImage = { id, name: `test-${id.slice(7, 19)}`, config, chainId: chainId! }
      images.set(image.name, image)
      return image
    },
    async busybox(process = {}) {
      return await workshop.image(await busyboxRootfs(), { Env: ['PATH=/bin'], Cmd: ['/bin/sh'], ...process })
    },
    async [Symbol.asyncDispose]() {
      for (const { id } of await containers.list({ all: true })) await containers.remove(id, { force: true, volumes: true })
      await containers.close()
      await snapshots[Symbol.asyncDispose]()
      metadata.close()
      if (where !== undefined) return
      // Exit commands of containers that have just ended would make their directories anew.
      for (let tries = 0; tries < 100 && processesWith(runDirectory).length > 0; tries += 1) await sleep(50)
      for (const directory of [runDirectory, root]) {
        for (const { target } of mountsBelow(directory).toReversed()) unmount(target, { detach: true })
        await rm(directory, { recursive: true, force: true })
      }
    },
  }
  return workshop
}

async function diffIdOf(path: string): Promise<DiffId> {
  const hash = createHash('sha256')
  for await (const chunk of fileStream(path)) hash.update(chunk)
  return parseDiffId(`sha256:${hash.digest('hex')}`)
}

/** Keeps what a container writes. */
export class Sink extends Writable {
  readonly #chunks: Buffer[] = []
  readonly #waiting: (() => void)[] = []

  override _write(chunk: Buffer, _: string, done: () => void): void {
    this.#chunks.push(Buffer.from(chunk))
    for (const wake of this.#waiting.splice(0)) wake()
    done()
  }

  get text(): string {
    return Buffer.concat(this.#chunks).toString()
  }

  /** Waits until something is there. */
  async until(pattern: RegExp): Promise<void> {
    while (!pattern.test(this.text)) await new Promise<void>(resolve => this.#waiting.push(resolve))
  }
}

export interface Finished {
  readonly exitCode: number
  readonly stdout: string
  readonly stderr: string
  readonly id: string
}

/** Runs a container to its end with its output attached. */
export async function runToEnd(
  workshop: Workshop,
  image: ContainerImage,
  options: Omit<ContainerOptions, 'image'>,
  input?: ByteStream,
): Promise<Finished> {
  const stdout = new Sink()
  const stderr = new Sink()
  const attach = [...(input === undefined ? [] : (['stdin'] as const)), 'stdout', 'stderr'] as const
  const streams = { stdout, stderr, ...(input === undefined ? {} : { stdin: input }) }
  const { ended, id } = await workshop.containers.run({ network: 'none', attach, ...options, image: image.name }, image, streams)
  const end = await ended
  if (end.kind !== 'exited') throw new Error('it was detached')
  return { exitCode: end.exitCode, stdout: stdout.text, stderr: stderr.text, id }
}

/** What is left on this machine of the containers of a workshop. */
export function remains({ root, runDirectory }: Workshop): readonly string[] {
  const mounts = [...mountsBelow(root), ...mountsBelow(runDirectory)].map(({ target }) => `mount ${target}`)
  const list = (path: string): readonly string[] => (existsSync(path) ? readdirSync(path) : [])
  const directories = list(join(runDirectory, 'c')).map(name => `run directory ${name}`)
  const states = list(join(runDirectory, 'runtime'))
    .filter(name => /^[0-9a-f]{64}$/.test(name))
    .map(name => `runtime state ${name}`)
  return [...mounts, ...directories, ...states]
}

/** Whether any cgroup of this machine is a container's. */
export function cgroupsOf(id: string): readonly string[] {
  const found: string[] = []
  for (const controller of existsSync('/sys/fs/cgroup') ? readdirSync('/sys/fs/cgroup') : []) {
    const path = join('/sys/fs/cgroup', controller, 'strata', id)
    if (existsSync(path)) found.push(path)
  }
  return found
}

/** The processes of this machine whose command line has a text in it. */
export function processesWith(text: string): readonly number[] {
  return readdirSync('/proc')
    .filter(name => /^\d+$/.test(name))
    .filter(name => {
      try {
        return readFileSync(`/proc/${name}/cmdline`, 'utf8').includes(text)
      } catch {
        return false
      }
    })
    .map(Number)
}
