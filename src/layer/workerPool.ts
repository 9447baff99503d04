import { availableParallelism } from 'node:os'
import { extname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import { StrataError } from '../base/index.ts'
import type { FromWorker, ToWorker } from './applyWorker.ts'
import type { AppliedLayer, LayerJob } from './layerJob.ts'
import type { LayerSource } from './layerSource.ts'

/** A worker without work goes after this time; starting one takes about 40 ms. */
const IDLE_MS = 2_000
/** A thread that has had a layer of more entries is not kept: what V8 holds of it stays until its next large collection, 40 MB and more. */
const KEPT_ENTRIES = 20_000
/** So long a job waits for a thread that is busy before it gets another: the layers of many small ones are taken by one. */
const PATIENCE_MS = 250
/** What a thread makes it either keeps to the end or drops at once: more room for young objects was slower and took 50 MB more. */
const RESOURCE_LIMITS = { maxYoungGenerationSizeMb: 2 }
/** The worker is of the kind that this file is: the source under Node's type stripping, after the build .js or .cjs. */
const WORKER_URL = new URL(`./applyWorker${extname(fileURLToPath(import.meta.url))}`, import.meta.url)

/** Where a thread reads a layer, and what it is told meanwhile. */
export interface FileLayer {
  readonly source: LayerSource
  /** How far a growing file may be read, rising. */
  readonly sizes: AsyncIterable<number>
}

export interface RunOptions {
  readonly signal?: AbortSignal | undefined
  /** Told how many bytes of the layer were taken, piece by piece. */
  readonly onRead?: ((bytes: number) => void) | undefined
}

/** Threads that apply layers, as many at once as there are cores. They never keep the process alive. */
class WorkerPool {
  readonly #idle: { readonly worker: Worker; readonly timer: NodeJS.Timeout }[] = []
  readonly #waiting: (() => void)[] = []
  #busy = 0

  /** Runs a job on the next free thread. */
  async run(job: LayerJob, layer: FileLayer, options: RunOptions): Promise<AppliedLayer> {
    options.signal?.throwIfAborted()
    if (this.#busy > 0 && this.#idle.length === 0) await this.#turn(PATIENCE_MS)
    while (this.#busy >= availableParallelism()) await this.#turn()
    this.#busy += 1
    const worker = this.#take()
    const run = new Run(worker, options)
    let isSmall = true
    try {
      const applied = await run.run(job, layer)
      isSmall = applied.entryCount <= KEPT_ENTRIES
      return applied
    } finally {
      // A thread that did not say how its job ended is not fit for another.
      if (run.answered && isSmall) this.#keep(worker)
      else await worker.terminate()
      this.#busy -= 1
      this.#waiting.shift()?.()
    }
  }

  /** Resolves when a thread has become free for this caller, or when `patienceMs` are over. */
  async #turn(patienceMs?: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#waiting.push(resolve)
    const timer = patienceMs === undefined ? undefined : setTimeout(resolve, patienceMs)
    await promise
    clearTimeout(timer)
    const at = this.#waiting.indexOf(resolve)
    if (at !== -1) this.#waiting.splice(at, 1)
  }

  #take(): Worker {
    const idle = this.#idle.pop()
    if (idle === undefined) return new Worker(WORKER_URL, { resourceLimits: RESOURCE_LIMITS, name: 'layer', execArgv: [] })
    clearTimeout(idle.timer)
    idle.worker.ref()
    return idle.worker
  }

  #keep(worker: Worker): void {
    worker.unref()
    const timer = setTimeout(() => {
      this.#idle.splice(
        this.#idle.findIndex(idle => idle.worker === worker),
        1,
      )
      void worker.terminate()
    }, IDLE_MS).unref()
    this.#idle.push({ worker, timer })
  }
}

/** The pool of this process. */
export const layerWorkers: WorkerPool = new WorkerPool()

/** One job on one thread. */
class Run {
  /** The thread has said how the job ended, and is free again. */
  answered = false
  readonly #worker: Worker
  readonly #options: RunOptions
  readonly #result = Promise.withResolvers<AppliedLayer>()
  #over = false
  #wake: (() => void) | undefined

  constructor(worker: Worker, options: RunOptions) {
    this.#worker = worker
    this.#options = options
    // Sending may fail first, and then nobody waits for the result.
    this.#result.promise.catch(() => undefined)
  }

  async run(job: LayerJob, { source, sizes }: FileLayer): Promise<AppliedLayer> {
    const { signal } = this.#options
    const onMessage = (message: FromWorker): void => this.#receive(message)
    const onError = (cause: unknown): void => this.#fail(cause)
    const onExit = (code: number): void => this.#fail(`exit code ${code}`)
    const onAbort = (): void => this.#post({ type: 'cancel' })
    this.#worker.on('message', onMessage).on('error', onError).on('exit', onExit)
    signal?.addEventListener('abort', onAbort)
    try {
      this.#post({ type: 'start', job, source })
      await this.#sendAll(sizes)
      return await this.#result.promise
    } catch (error) {
      signal?.throwIfAborted()
      throw error
    } finally {
      this.#worker.off('message', onMessage).off('error', onError).off('exit', onExit)
      signal?.removeEventListener('abort', onAbort)
    }
  }

  async #sendAll(source: AsyncIterable<number>): Promise<void> {
    const sizes = source[Symbol.asyncIterator]()
    try {
      for (;;) {
        const size = await this.#next(sizes)
        if (size === undefined || this.#over) break
        this.#post({ type: 'grown', size })
      }
      if (!this.#over) this.#post({ type: 'end' })
    } catch (error) {
      this.#post({ type: 'cancel' })
      await this.#result.promise.catch(() => undefined)
      throw error
    } finally {
      // A source that has stalled answers this only when it goes on.
      const closed = sizes.return?.()
      closed?.catch(() => undefined)
    }
  }

  /** What comes next; undefined at the end, and as soon as the thread has ended the job: the source may have stalled. */
  #next(sizes: AsyncIterator<number>): Promise<number | undefined> {
    const { promise, resolve, reject } = Promise.withResolvers<number | undefined>()
    this.#wake = () => {
      if (this.#over) resolve(undefined)
    }
    this.#wake()
    sizes.next().then(next => resolve(next.done === true ? undefined : next.value), reject)
    return promise
  }

  #post(message: ToWorker): void {
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- that is of browsers' windows
    this.#worker.postMessage(message)
  }

  #receive(message: FromWorker): void {
    if (message.type === 'read') {
      this.#options.onRead?.(message.bytes)
      return
    }
    this.answered = true
    this.#over = true
    if (message.type === 'done') this.#result.resolve(message.applied)
    else this.#result.reject(errorOf(message))
    this.#wake?.()
  }

  #fail(cause: unknown): void {
    this.#over = true
    const memory = errnoLike(cause) === 'ERR_WORKER_OUT_OF_MEMORY'
    this.#result.reject(
      new StrataError(
        memory ? 'resourceExhausted' : 'internal',
        'STRATA_LAYER_WORKER',
        `Cannot apply layer: ${memory ? 'it has more entries than memory can hold' : 'its thread ended'}`,
        { cause },
      ),
    )
    this.#wake?.()
  }
}

function errnoLike(cause: unknown): unknown {
  return cause instanceof Error && 'code' in cause ? cause.code : undefined
}

function errorOf({ error }: FromWorker & { readonly type: 'failed' }): StrataError {
  return new StrataError(error.kind, error.code, error.message, error.hint === undefined ? {} : { hint: error.hint })
}
