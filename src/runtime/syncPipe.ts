import type { Readable } from 'node:stream'

/** A line that conmon writes into its sync or attach pipe: a process id, or -1 and why. */
export interface SyncMessage {
  readonly data: number
  readonly message?: string
}

/** A line is one report of a runtime; a stream that never ends a line is not conmon's. */
const LINE_LIMIT = 1024 * 1024

/** The messages of a pipe of conmon (`--api-version 1`), one JSON object per line; what is something else is left out. */
export async function* readMessages(pipe: Readable): AsyncGenerator<SyncMessage, undefined> {
  let text = ''
  for await (const chunk of pipe as AsyncIterable<Buffer>) {
    text += chunk.toString('utf8')
    if (text.length > LINE_LIMIT) return
    for (let end = text.indexOf('\n'); end !== -1; end = text.indexOf('\n')) {
      const message = parseMessage(text.slice(0, end))
      text = text.slice(end + 1)
      if (message !== undefined) yield message
    }
  }
}

function parseMessage(line: string): SyncMessage | undefined {
  try {
    const { data, message } = JSON.parse(line) as { data?: unknown; message?: unknown }
    if (typeof data !== 'number') return undefined
    return typeof message === 'string' ? { data, message } : { data }
  } catch {
    return undefined
  }
}
