import { createLogUpdate } from 'log-update'
import type { Progress } from '../../base/index.ts'
import { humanSize } from '../sizes.ts'
import type { TerminalOutput } from '../surroundings.ts'

/** Redrawn at most so often: a terminal over a network must keep up. */
const INTERVAL_MS = 100

const BAR_WIDTH = 50

/** A narrower terminal shows the numbers without the bar. */
const BAR_TERMINAL_WIDTH = 110

/** One line for each thing that is worked on, redrawn in place, in the order in which they came up. */
export class TerminalLines {
  readonly #output: TerminalOutput
  readonly #draw: ReturnType<typeof createLogUpdate>
  readonly #lines = new Map<string, Progress>()
  #timer: NodeJS.Timeout | undefined

  constructor(output: TerminalOutput) {
    this.#output = output
    this.#draw = createLogUpdate(withKnownSize(output))
  }

  show(progress: Progress): void {
    if (progress.id === '') {
      this.settle()
      this.#output.write(`${progress.status}\n`)
      return
    }
    this.#lines.set(progress.id, progress)
    this.#timer ??= setTimeout(() => this.#redraw(), INTERVAL_MS)
  }

  /** Leaves the lines where they are; the next ones are drawn below. */
  settle(): void {
    clearTimeout(this.#timer)
    if (this.#lines.size === 0) return
    this.#redraw()
    this.#draw.done()
    this.#lines.clear()
  }

  #redraw(): void {
    this.#timer = undefined
    const columns = knownSize(this.#output.columns) ?? 80
    this.#draw([...this.#lines.values()].map(progress => formatProgress(progress, columns)).join('\n'))
  }
}

/** A terminal that nobody has told its size, such as one of `script` without a terminal around it, says 0. */
const knownSize = (size: number | undefined): number | undefined => (size === 0 ? undefined : size)

/** What is drawn on a terminal of no rows would be nothing. */
function withKnownSize(output: TerminalOutput): NodeJS.WritableStream {
  return new Proxy(output, {
    get(target, name) {
      if (name === 'columns' || name === 'rows') return knownSize(target[name])
      const value: unknown = Reflect.get(target, name, target)
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
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
