/** Runs what has the same key one after the other, in the order of the calls, within this process. */
export class KeyedMutex {
  readonly #tails = new Map<string, Promise<void>>()

  async run<T>(key: string, task: () => Promise<T>): Promise<T> {
    const before = this.#tails.get(key) ?? Promise.resolve()
    const { promise: done, resolve: release } = Promise.withResolvers<void>()
    const tail = before.then(() => done)
    this.#tails.set(key, tail)
    await before
    try {
      return await task()
    } finally {
      release()
      if (this.#tails.get(key) === tail) this.#tails.delete(key)
    }
  }
}

/** Calls that are under way are shared: a second call with the same key gets the first one's result. */
export class SingleFlight<T> {
  readonly #running = new Map<string, Promise<T>>()

  run(key: string, task: () => Promise<T>): Promise<T> {
    const running = this.#running.get(key)
    if (running !== undefined) return running
    const started = task().finally(() => this.#running.delete(key))
    this.#running.set(key, started)
    return started
  }
}

/**
 * Maps with at most `limit` tasks at once; results keep the order of the items. The first failure
 * stops new tasks, aborts `signal` of the running ones, and is thrown when all of them have ended.
 */
export async function mapConcurrently<A, B>(
  items: Iterable<A>,
  limit: number,
  task: (item: A, signal: AbortSignal) => Promise<B>,
): Promise<B[]> {
  const results: B[] = []
  const failed = new AbortController()
  const queue = [...items].entries()
  let failure: { readonly error: unknown } | undefined
  const worker = async (): Promise<void> => {
    for (const [index, item] of queue) {
      if (failure !== undefined) return
      try {
        results[index] = await task(item, failed.signal)
      } catch (error) {
        failure ??= { error }
        failed.abort(error)
      }
    }
  }
  await Promise.all(Array.from({ length: limit }, worker))
  if (failure !== undefined) throw failure.error
  return results
}
