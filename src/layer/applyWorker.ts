import { parentPort } from 'node:worker_threads'
import { isStrataError, StrataError, systemError } from '../base/index.ts'
import { type AppliedLayer, type LayerJob, runLayerJob } from './layerJob.ts'
import type { Arrival } from './layerSource.ts'

/*
 * The thread that applies layers, one job at a time. Between it and workerPool.ts:
 * `start`, then what the job's source is sent: `chunk`s, or how far its file has `grown`, and `end`; `credit` for each
 * piece of the layer that was taken;
 * `done` or `failed`. `cancel` makes a job fail at its next chunk.
 */

export type ToWorker =
  | { readonly type: 'start'; readonly job: LayerJob }
  | { readonly type: 'chunk'; readonly bytes: Uint8Array }
  | { readonly type: 'grown'; readonly size: number }
  | { readonly type: 'end' }
  | { readonly type: 'cancel' }

/** A StrataError as data: threads cannot pass on instances of a class. */
export type WorkerError = Pick<StrataError, 'kind' | 'code' | 'message' | 'hint'>

export type FromWorker =
  | { readonly type: 'credit'; readonly bytes: number }
  | { readonly type: 'done'; readonly applied: AppliedLayer }
  | { readonly type: 'failed'; readonly error: WorkerError }

const port = parentPort!
let arrivals: (Arrival | 'end' | 'cancel')[] = []
let wake: (() => void) | undefined
let cancelled = new AbortController()

function send(message: FromWorker): void {
  port.postMessage(message)
}

async function* arrived(): AsyncGenerator<Arrival> {
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

const onRead = (bytes: number): void => send({ type: 'credit', bytes })

function receive(arrival: Arrival | 'end' | 'cancel'): void {
  arrivals.push(arrival)
  wake?.()
  wake = undefined
}

async function run(job: LayerJob): Promise<void> {
  try {
    send({ type: 'done', applied: await runLayerJob(job, arrived(), { signal: cancelled.signal, onRead }) })
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
      void run(message.job)
      break
    case 'chunk':
      receive(message.bytes)
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
