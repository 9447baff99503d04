import { stat } from 'node:fs/promises'
import { Agent, interceptors, request } from 'undici'
import { type ByteStream, fileStream, StrataError, systemError } from '../base/index.ts'
import type { FileRange } from '../layer/index.ts'

/** The tar of a root filesystem, as it is read. */
export interface RootfsSource {
  readonly bytes: ByteStream | FileRange
  /** How many bytes there will be, where that is known. */
  readonly total: number | undefined
}

const MAX_REDIRECTS = 10
/** A server that sends nothing for this long is taken for dead. */
const STALL_TIMEOUT_MS = 60_000
const CONNECT_TIMEOUT_MS = 10_000

/**
 * Opens what `import` reads: a file, or what an http or https URL gives.
 *
 * Rejects with `notFound` for a file that is not there, and `unavailable` (STRATA_DOWNLOAD) when the server has it not or cannot be reached.
 */
export async function openRootfs(source: string, signal: AbortSignal | undefined): Promise<RootfsSource> {
  if (/^https?:\/\//.test(source)) return download(source, signal)
  try {
    const facts = await stat(source)
    return facts.isFile() ? { bytes: { path: source }, total: facts.size } : { bytes: fileStream(source), total: undefined }
  } catch (error) {
    throw systemError(`read "${source}"`, error)
  }
}

async function download(source: string, signal: AbortSignal | undefined): Promise<RootfsSource> {
  const timeouts = { connect: { timeout: CONNECT_TIMEOUT_MS }, headersTimeout: STALL_TIMEOUT_MS, bodyTimeout: STALL_TIMEOUT_MS }
  // One request: its connection ends with it.
  const agent = new Agent({ ...timeouts, pipelining: 0 })
  const answer = await request(source, {
    dispatcher: agent.compose(interceptors.redirect({ maxRedirections: MAX_REDIRECTS })),
    ...(signal === undefined ? {} : { signal }),
  }).catch((cause: unknown) => {
    signal?.throwIfAborted()
    throw failed(source, reasonOf(cause), cause)
  })
  const { statusCode, headers, body } = answer
  if (statusCode !== 200) {
    await body.dump()
    throw failed(source, `the server answers ${statusCode}`)
  }
  const total = Number(headers['content-length'] ?? Number.NaN)
  return { bytes: toTheEnd(source, body, signal), total: Number.isSafeInteger(total) ? total : undefined }
}

async function* toTheEnd(source: string, body: AsyncIterable<Uint8Array>, signal: AbortSignal | undefined): AsyncGenerator<Uint8Array> {
  try {
    yield* body
  } catch (cause) {
    signal?.throwIfAborted()
    throw failed(source, `the download broke off (${reasonOf(cause)})`, cause)
  }
}

function failed(source: string, state: string, cause?: unknown): StrataError {
  const url = new URL(source)
  // A password in the URL is nobody's business.
  const name = `${url.protocol}//${url.host}${url.pathname}`
  return new StrataError('unavailable', 'STRATA_DOWNLOAD', `Cannot import "${name}": ${state}`, { cause })
}

function reasonOf(cause: unknown): string {
  if (cause instanceof AggregateError && cause.message === '') return cause.errors.map(each => (each as Error).message).join('; ')
  return cause instanceof Error ? cause.message : String(cause)
}
