import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { copyFile, mkdir, readdir, rm, rmdir, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { findProgram, TemporaryDirectory } from '../../src/base/index.ts'
import {
  attach,
  type Attachment,
  type BundleOptions,
  type Monitor,
  type MonitoredContainer,
  type OciRuntime,
  openMonitor,
  openRuntime,
  planBundle,
  type ProcessOptions,
  readRuntimeFacts,
  type RuntimeFacts,
  writeBundle,
} from '../../src/runtime/index.ts'

const BUSYBOX = '/bin/busybox'

/** Why the tests of this directory cannot run here, or false. */
export const SKIP: string | false =
  process.getuid?.() !== 0
    ? 'containers need root'
    : existsSync(BUSYBOX) && (await findProgram('crun')) !== undefined && (await findProgram('conmon')) !== undefined
      ? false
      : 'busybox-static, crun or conmon is not installed'

export interface Outcome {
  readonly exitCode: number
  readonly stdout: string
  readonly stderr: string
}

/** A runtime, a monitor and a root file system of busybox alone; everything that tests make with it disappears with it. */
export class BusyboxMachine implements AsyncDisposable {
  readonly rootfs: string
  readonly facts: RuntimeFacts
  readonly runtime: OciRuntime
  readonly monitor: Monitor
  readonly directory: string
  readonly #scratch: TemporaryDirectory
  readonly #cgroupParent: string
  readonly #ids: string[] = []

  private constructor(scratch: TemporaryDirectory, facts: RuntimeFacts, programs: { runtime: OciRuntime; monitor: Monitor }) {
    this.#scratch = scratch
    this.directory = scratch.path
    this.rootfs = join(scratch.path, 'rootfs')
    this.facts = facts
    this.runtime = programs.runtime
    this.monitor = programs.monitor
    this.#cgroupParent = `/strata-test-${randomBytes(4).toString('hex')}`
  }

  static async open(options: { readonly program?: string } = {}): Promise<BusyboxMachine> {
    const scratch = await TemporaryDirectory.create(tmpdir(), 'strata-runtime-')
    const facts = await readRuntimeFacts()
    const runtime = await openRuntime({ stateDirectory: join(scratch.path, 'state'), facts, ...options })
    const machine = new BusyboxMachine(scratch, facts, { runtime, monitor: await openMonitor({ runtime }) })
    for (const name of ['bin', 'etc', 'proc', 'sys', 'dev', 'tmp', 'root', 'srv'])
      await mkdir(join(machine.rootfs, name), { recursive: true })
    await copyFile(BUSYBOX, join(machine.rootfs, 'bin/busybox'))
    for (const name of 'sh cat id ls sleep true false echo mount umount unshare stat touch kill ps dd head wc stty tr grep mkdir env sysctl ulimit chown yes seq test printf'.split(
      ' ',
    )) {
      await symlink('busybox', join(machine.rootfs, 'bin', name))
    }
    await writeFile(join(machine.rootfs, 'etc/passwd'), 'root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000::/srv:/bin/sh\n')
    await writeFile(join(machine.rootfs, 'etc/group'), 'root:x:0:\napp:x:1000:\n')
    return machine
  }

  /** Writes a bundle; returns its id and directory. */
  async bundle(
    process: ProcessOptions,
    options: Partial<BundleOptions> = {},
  ): Promise<{ id: string; directory: string; warnings: readonly string[] }> {
    const id = `test-${randomBytes(6).toString('hex')}`
    this.#ids.push(id)
    const directory = join(this.directory, id)
    const { spec, warnings } = planBundle({ id, rootfs: this.rootfs, cgroupParent: this.#cgroupParent, process, ...options }, this.facts)
    await writeBundle(directory, spec)
    return { id, directory, warnings }
  }

  /** Runs a container in the foreground and collects what it says. */
  async run(process: ProcessOptions, options: Partial<BundleOptions> = {}, input = ''): Promise<Outcome> {
    const { id, directory } = await this.bundle(process, options)
    const running = await this.runtime.run({ id, bundle: directory, stdio: ['pipe', 'pipe', 'pipe'] })
    running.stdin?.on('error', () => undefined).end(input)
    const [stdout, stderr, exitCode] = await Promise.all([textOf(running.stdout), textOf(running.stderr), running.ended])
    return { exitCode, stdout, stderr }
  }

  /** What a shell says in a container, without its last newline; fails when it fails. */
  async shell(script: string, process: Partial<ProcessOptions> = {}, options: Partial<BundleOptions> = {}): Promise<string> {
    const { exitCode, stdout, stderr } = await this.run({ args: ['sh', '-c', script], ...process }, options)
    if (exitCode !== 0) throw new Error(`sh -c '${script}' ended with ${exitCode}: ${stderr}`)
    return stdout.trimEnd()
  }

  /** Starts a container under a monitor; attached from its first byte on. */
  async start(
    process: ProcessOptions,
    how: Partial<MonitoredContainer> & { readonly bundle?: Partial<BundleOptions> } = {},
  ): Promise<{ id: string; directory: string; pid: number; monitorPid: number; attachment: Attachment }> {
    const { bundle: options, ...monitored } = how
    const { id, directory } = await this.bundle(process, options)
    const created = await this.monitor.create({ id, directory, terminal: process.terminal === true, ...monitored })
    const attachment = attach(directory)
    await this.runtime.start(id)
    return { id, directory, ...created, attachment }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const id of this.#ids) await this.runtime.delete(id, { force: true })
    await removeCgroups(this.#cgroupParent)
    // Monitors write their exit files a moment after their containers have gone.
    await rm(this.#scratch.path, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 })
  }
}

async function removeCgroups(parent: string): Promise<void> {
  const trees = ['/sys/fs/cgroup', ...(await readdir('/sys/fs/cgroup')).map(name => join('/sys/fs/cgroup', name))]
  for (const tree of trees) await rmdir(join(tree, parent)).catch(() => undefined)
}

/** All of a stream as text. */
export async function textOf(stream: AsyncIterable<Uint8Array> | undefined): Promise<string> {
  const chunks: Uint8Array[] = []
  for await (const chunk of stream ?? []) chunks.push(chunk)
  return Buffer.concat(chunks).toString()
}

/** All that an attachment still gets, by stream. */
export async function outputOf(attachment: Attachment): Promise<{ stdout: string; stderr: string }> {
  const chunks = { stdout: [] as Uint8Array[], stderr: [] as Uint8Array[] }
  for await (const { stream, bytes } of attachment.output()) chunks[stream].push(bytes)
  return { stdout: Buffer.concat(chunks.stdout).toString(), stderr: Buffer.concat(chunks.stderr).toString() }
}
