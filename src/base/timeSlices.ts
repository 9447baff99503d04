import { setImmediate } from 'node:timers/promises'

/** How long this thread works on one thing before it looks at others; less than anyone notices. */
const SLICE_MS = 10

/** Lets the other work of this thread go on between the steps of a long synchronous one: `if (slices.over) await slices.next()`. */
export class TimeSlices {
  #end = now() + SLICE_MS

  /** Whether the present slice is used up. */
  get over(): boolean {
    return now() > this.#end
  }

  /** Resolves when it is this work's turn again. */
  async next(): Promise<void> {
    await setImmediate()
    this.#end = now() + SLICE_MS
  }
}

/** `performance` takes a millisecond to load. */
const now = (): number => process.uptime() * 1000
