import { parentPort } from 'node:worker_threads'
import { isStrataError, StrataError, systemError } from '../base/index.ts'
import { type AppliedLayer, type LayerJob, runLayerJob } from './layerJob.ts'
import { layerBytes, type LayerSource } from './layerSource.ts'

/*
 * The thread that applies layers, one job at a time. Between it and workerPool.ts:
 * `start`, then how far a growing file has `grown`, and `end`; `read` for each piece of the layer that was taken;
 * `done` or `failed`. `cancel` makes a job fail at its next chunk.
 */

export type ToWorker =
  | { readonly type: 'start'; readonly job: LayerJob; readonly source: LayerSource }
  | { readonly type: 'grown'; readonly size: number }
  | { readonly type: 'end' }
  | { readonly type: 'cancel' }

/** A StrataError as data: threads cannot pass on instances of a class. */
export type WorkerError = Pick<StrataError, 'kind' | 'code' | 'message' | 'hint'>

export type FromWorker =
  | { readonly type: 'read'; readonly bytes: number }
  | { readonly type: 'done'; readonly applied: AppliedLayer }
  | { readonly type: 'failed'; readonly error: WorkerError }

const port = parentPort!
let arrivals: (number | 'end' | 'cancel')[] = []
let wake: (() => void) | undefined
let cancelled = new AbortController()

function send(message: FromWorker): void {
  port.postMessage(message)
}

async function* sizes(): AsyncGenerator<number> {
  for (;;) {
    for (let next = arrivals.shift(); next !== undefined; next = arrivals.shift()) {
      if (next === 'end') return
      if (next === 'cancel') continue
      yield next
    }
    cancelled.signal.throwIfAborted()
    const { promise, resolve } = Promise.withResolvers<void>()
    wake = resolve
    await promise
  }
}

const onRead = (bytes: number): void => send({ type: 'read', bytes })

function receive(arrival: number | 'end' | 'cancel'): void {
  arrivals.push(arrival)
  wake?.()
  wake = undefined
}

async function run(job: LayerJob, source: LayerSource): Promise<void> {
  try {
    send({ type: 'done', applied: await runLayerJob(job, layerBytes(source, sizes(), onRead), cancelled.signal) })
  } catch (error) {
    const { kind, code, message, hint } = isStrataError(error) ? error : systemError('apply layer', error)
    send({ type: 'failed', error: { kind, code, message, hint } })
  }
}

port.on('message', (message: ToWorker) => {
  switch (message.type) {
    case 'start':
      arrivals = []
      cancelled = new AbortController()
      void run(message.job, message.source)
      break
    case 'grown':
      receive(message.size)
      break
    case 'end':
      receive('end')
      break
    case 'cancel':
      cancelled.abort(new StrataError('cancelled', 'STRATA_CANCELLED', 'Cannot apply layer: it was cancelled'))
      receive('cancel')
      break
    default:
      message satisfies never
  }
})
