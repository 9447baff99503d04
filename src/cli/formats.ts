import { StrataError } from '../base/index.ts'
import { compileTemplate, type Shape, TemplateError } from './template/index.ts'

/**
 * A `--format` as a function.
 *
 * @param shape what JSON does not tell of the data
 * Throws `invalidArgument` (STRATA_INVALID_FORMAT) for a format that is wrong, here or when applied.
 */
export function compileFormat(source: string, shape?: Shape): (data: unknown) => string {
  const guarded = <T>(work: () => T): T => {
    try {
      return work()
    } catch (error) {
      if (!(error instanceof TemplateError)) throw error
      throw new StrataError('invalidArgument', 'STRATA_INVALID_FORMAT', error.message, { cause: error })
    }
  }
  const apply = guarded(() => compileTemplate(source, shape))
  return data => guarded(() => apply(data))
}
