import { cancellationOf, errnoOf, isStrataError, packageDirectory, systemError } from '../base/index.ts'
import { visibleLine, visibleText } from './visible.ts'

/**
 * An error as one sentence for people, with what they can do about it; never a stack trace.
 *
 * @param debug adds the causes, a line each
 */
export function formatError(error: unknown, debug = false): string {
  // Whatever a message quotes of what strangers wrote steers no terminal, and adds no line of its own.
  const excerpt = isStrataError(error) ? error.excerpt : []
  const lines = [`strata: ${visibleLine(sentence(error))}`, ...excerpt.map(line => `  ${withTabs(line)}`)]
  if (debug) {
    for (let cause = causeOf(error); cause !== undefined; cause = causeOf(cause)) lines.push(`  caused by: ${visibleLine(sentence(cause))}`)
  }
  return lines.join('\n')
}

/** A line as it is, with tabs, so that a mark below it is below what it means. */
const withTabs = (line: string): string => visibleText(line).replaceAll('\n', ' ')

function sentence(error: unknown): string {
  if (isStrataError(error)) return error.hint === undefined ? error.message : `${error.message}. ${error.hint}`
  const cancellation = cancellationOf(error)
  if (cancellation !== undefined) return sentence(cancellation)
  if (!(error instanceof Error)) return String(error)
  const missing = isMissing(error) ? /^Cannot find (?:package|module) '([^'./][^']*)'/.exec(error.message)?.[1] : undefined
  if (missing !== undefined)
    return `Cannot go on: the package "${missing}" is missing. Run "npm ci" in ${packageDirectory()}, which brings it`
  const message = error.message === '' ? error.name : error.message.replaceAll(/\s*\n\s*/g, ' ')
  if (isSystemCall(error)) return sentence(systemError(`${error.syscall}${error.path === undefined ? '' : ` "${error.path}"`}`, error))
  // Not ours and not the system's: a fault of this program, and worth telling as one.
  return errnoOf(error) === undefined && error.name !== 'Error' ? `${message} (an internal error: ${error.name})` : message
}

function causeOf(error: unknown): unknown {
  return error instanceof Error ? error.cause : undefined
}

/** What the system says without anybody having said what for. */
const isSystemCall = (error: NodeJS.ErrnoException): error is NodeJS.ErrnoException & { readonly syscall: string } =>
  errnoOf(error) !== undefined && error.syscall !== undefined

const isMissing = (error: Error & { readonly code?: unknown }): boolean =>
  error.code === 'MODULE_NOT_FOUND' || error.code === 'ERR_MODULE_NOT_FOUND'
