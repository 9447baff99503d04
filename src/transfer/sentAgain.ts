import { isStrataError } from '../base/index.ts'

/**
 * Pushes a graph, and once more where the registry has lost what it had taken, as one that was started anew in the middle: the
 * sink looks again for what is there, and sends what is not.
 *
 * Rejects as `push` does.
 */
export async function sentAgain<Result>(push: () => Promise<Result>): Promise<Result> {
  try {
    return await push()
  } catch (error) {
    if (!isStrataError(error) || error.code !== 'STRATA_REGISTRY_LACKS_PARTS') throw error
    return await push()
  }
}
