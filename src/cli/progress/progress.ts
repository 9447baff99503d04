import type { Progress, ProgressListener } from '../../base/index.ts'
import type { TerminalOutput } from '../surroundings.ts'
import { visibleLine } from '../visible.ts'
import type { TerminalLines } from './terminalLines.ts'

interface ProgressDisplay {
  readonly onProgress: ProgressListener
  /** Leaves what is shown where it is. */
  done(): Promise<void>
}

const SILENT: ProgressDisplay = { onProgress: () => undefined, done: async () => undefined }

/**
 * Shows the progress of a call on many things at once: on a terminal a line each, redrawn in place;
 * elsewhere a plain line for each new status, without byte counts. When it resolves or rejects,
 * other output may follow.
 */
export async function withProgress<T>(
  output: TerminalOutput,
  quiet: boolean,
  work: (onProgress: ProgressListener) => Promise<T>,
): Promise<T> {
  const display = quiet ? SILENT : output.isTTY === true ? loadedProgress(output) : plainProgress(output)
  try {
    // Names of strangers are in it.
    return await work(progress => display.onProgress({ ...progress, id: visibleLine(progress.id), status: visibleLine(progress.status) }))
  } finally {
    await display.done()
  }
}

/** What draws is loaded by the first report: a run whose image is here has none. */
function loadedProgress(output: TerminalOutput): ProgressDisplay {
  let lines: Promise<TerminalLines> | undefined
  return {
    onProgress(progress: Progress) {
      lines ??= import('./terminalLines.ts').then(module => new module.TerminalLines(output))
      void lines.then(loaded => loaded.show(progress))
    },
    async done() {
      ;(await lines)?.settle()
    },
  }
}

function plainProgress(output: TerminalOutput): ProgressDisplay {
  const shown = new Map<string, string>()
  return {
    onProgress(progress: Progress) {
      if (progress.current !== undefined || shown.get(progress.id) === progress.status) return
      if (progress.id !== '') shown.set(progress.id, progress.status)
      output.write(`${progress.id === '' ? '' : `${progress.id}: `}${progress.status}\n`)
    },
    done: async () => undefined,
  }
}
