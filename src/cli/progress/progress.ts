import type { Progress, ProgressListener } from '../../base/index.ts'
import type { TerminalOutput } from '../surroundings.ts'

export interface ProgressDisplay {
  readonly onProgress: ProgressListener
  /** Leaves what is shown where it is. To be called before anything else is written. */
  done(): void
}

const SILENT: ProgressDisplay = { onProgress: () => undefined, done: () => undefined }

/**
 * Shows the progress of many things at once: on a terminal a line each, redrawn in place; elsewhere a
 * plain line for each new status, without byte counts.
 */
export async function showProgress(output: TerminalOutput, quiet: boolean): Promise<ProgressDisplay> {
  if (quiet) return SILENT
  if (output.isTTY !== true) return plainProgress(output)
  const { terminalProgress } = await import('./terminalProgress.ts')
  return terminalProgress(output)
}

function plainProgress(output: TerminalOutput): ProgressDisplay {
  const shown = new Map<string, string>()
  return {
    onProgress(progress: Progress) {
      if (progress.current !== undefined || shown.get(progress.id) === progress.status) return
      if (progress.id !== '') shown.set(progress.id, progress.status)
      output.write(`${progress.id === '' ? '' : `${progress.id}: `}${progress.status}\n`)
    },
    done: () => undefined,
  }
}
