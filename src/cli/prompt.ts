import { on } from 'node:events'
import { interruptible, StrataError } from '../base/index.ts'
import type { Invocation } from './invocation.ts'
import type { TerminalInput } from './surroundings.ts'

/** Asks for consent as docker does; anything but `y` or `Y` is no. Without a terminal the answer is read from stdin as well. */
export async function confirm(invocation: Invocation, warning: string): Promise<boolean> {
  const answer = await askLine(invocation, `WARNING! ${warning}\nAre you sure you want to continue? [y/N] `)
  return /^y$/i.test(answer)
}

/** Asks for a line, and gives it without the space around it; what stdin has before its end when there is no whole line. */
export async function askLine(invocation: Invocation, question: string): Promise<string> {
  invocation.print(question)
  const decoder = new TextDecoder()
  let text = ''
  for await (const chunk of typed(invocation.surroundings.stdin)) {
    text += decoder.decode(chunk, { stream: true })
    if (text.includes('\n')) break
  }
  return text.split('\n', 1)[0]!.trim()
}

/** What comes on stdin. Stopping early leaves the rest for the next question. */
async function* typed(stdin: TerminalInput): AsyncGenerator<Uint8Array> {
  if (stdin.readableEnded || stdin.destroyed) return
  try {
    const events = on(stdin, 'data', { close: ['end', 'close'] })
    stdin.resume()
    for await (const [chunk] of events) yield chunk as Uint8Array
  } finally {
    stdin.pause()
  }
}

/** What keys send in raw mode, where the terminal itself edits no line. */
const ENTER = /^[\r\n]$/
const ERASE_CHARACTER = /^[\b\x7f]$/
const ERASE_LINE = '\x15'
const INTERRUPT = '\x03'
const END_OF_FILE = '\x04'

/**
 * Asks for a line at the terminal, which shows nothing of it. The terminal is given back as it was, also when a signal comes.
 *
 * Rejects with `cancelled` on Ctrl-C.
 */
export async function askSecret(invocation: Invocation, question: string): Promise<string> {
  const { surroundings } = invocation
  const signal = invocation.interruption()
  invocation.print(question)
  surroundings.setRawTerminal(true)
  try {
    return await readSecret(interruptible(typed(surroundings.stdin), signal))
  } finally {
    surroundings.setRawTerminal(false)
    invocation.print('\n')
  }
}

async function readSecret(keys: AsyncIterable<Uint8Array>): Promise<string> {
  const decoder = new TextDecoder()
  let secret: string[] = []
  for await (const chunk of keys) {
    for (const key of decoder.decode(chunk, { stream: true })) {
      if (ENTER.test(key) || key === END_OF_FILE) return secret.join('')
      if (key === INTERRUPT) throw new StrataError('cancelled', 'STRATA_CANCELLED', 'interrupted by SIGINT')
      if (ERASE_CHARACTER.test(key)) secret.pop()
      else if (key === ERASE_LINE) secret = []
      else secret.push(key)
    }
  }
  return secret.join('')
}
