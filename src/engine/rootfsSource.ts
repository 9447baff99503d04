import { stat } from 'node:fs/promises'
import { type ByteStream, fileStream, isStrataError, StrataError, systemError } from '../base/index.ts'
import type { FileRange } from '../layer/index.ts'
import { compose, httpSender, withRedirects } from '../registry/index.ts'

/** The tar of a root filesystem, as it is read. */
export interface RootfsSource {
  readonly bytes: ByteStream | FileRange
  /** How many bytes there will be, where that is known. */
  readonly total: number | undefined
}

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
  const { send, close } = httpSender()
  try {
    const request = { method: 'GET', url: new URL(source), headers: {}, ...(signal === undefined ? {} : { signal }) } as const
    const { status, headers, body } = await compose(send, withRedirects)(request)
    if (status !== 200) throw new Error(`the server answers ${status}`)
    const total = Number(headers['content-length'] ?? Number.NaN)
    return { bytes: toTheEnd(source, body, { signal, close }), total: Number.isSafeInteger(total) ? total : undefined }
  } catch (cause) {
    close()
    signal?.throwIfAborted()
    throw failed(source, reasonOf(cause), cause)
  }
}

async function* toTheEnd(
  source: string,
  body: ByteStream,
  { signal, close }: { readonly signal: AbortSignal | undefined; readonly close: () => void },
): AsyncGenerator<Uint8Array> {
  try {
    yield* body
  } catch (cause) {
    signal?.throwIfAborted()
    throw failed(source, `the download broke off (${reasonOf(cause)})`, cause)
  } finally {
    close()
  }
}

function failed(source: string, state: string, cause?: unknown): StrataError {
  const url = new URL(source)
  // A password in the URL is nobody's business.
  const name = `${url.protocol}//${url.host}${url.pathname}`
  return new StrataError('unavailable', 'STRATA_DOWNLOAD', `Cannot import "${name}": ${state}`, { cause })
}

function reasonOf(cause: unknown): string {
  const { message, cause: deeper } = cause instanceof Error ? cause : new Error(String(cause))
  return isStrataError(cause, 'unavailable') && deeper instanceof Error ? deeper.message : message
}
