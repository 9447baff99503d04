import { createLogUpdate } from 'log-update'
import type { Progress } from '../../base/index.ts'
import { humanSize } from '../sizes.ts'
import type { TerminalOutput } from '../surroundings.ts'
import type { ProgressDisplay } from './progress.ts'

/** Redrawn at most so often: a terminal over a network must keep up. */
const INTERVAL_MS = 100

const BAR_WIDTH = 50

/** A narrower terminal shows the numbers without the bar. */
const BAR_TERMINAL_WIDTH = 110

/** One line for each thing that is worked on, redrawn in place, in the order in which they came up. */
export function terminalProgress(output: TerminalOutput): ProgressDisplay {
  const draw = createLogUpdate(output)
  const lines = new Map<string, Progress>()
  let timer: NodeJS.Timeout | undefined
  const redraw = (): void => {
    timer = undefined
    draw([...lines.values()].map(progress => formatProgress(progress, output.columns ?? 80)).join('\n'))
  }
  const settle = (): void => {
    clearTimeout(timer)
    if (lines.size > 0) redraw()
    draw.done()
    lines.clear()
  }
  return {
    onProgress(progress) {
      if (progress.id === '') {
        settle()
        output.write(`${progress.status}\n`)
        return
      }
      lines.set(progress.id, progress)
      timer ??= setTimeout(redraw, INTERVAL_MS)
    },
    done: settle,
  }
}

/** `4f4fb700ef54: Downloading [=====>      ]  1.049MB/27.5MB`. @param columns the terminal's width */
export function formatProgress({ id, status, current, total }: Progress, columns: number): string {
  const line = `${id}: ${status}`
  if (current === undefined) return line
  if (total === undefined || total <= 0) return `${line} ${humanSize(current, 4).padStart(8)}`
  const numbers = `${humanSize(current, 4).padStart(8)}/${humanSize(total, 4)}`
  if (columns < BAR_TERMINAL_WIDTH) return `${line} ${numbers}`
  const filled = Math.floor((Math.min(current, total) / total) * BAR_WIDTH)
  const bar = filled === BAR_WIDTH ? '='.repeat(BAR_WIDTH) : `${'='.repeat(filled)}>`.padEnd(BAR_WIDTH)
  return `${line} [${bar}] ${numbers}`
}
