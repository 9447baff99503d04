import { StrataError } from '../base/index.ts'

/** A place in a text: lines and columns count from 1, columns in UTF-16 units. */
export interface Place {
  readonly line: number
  readonly column: number
}

/**
 * What is wrong with a Dockerfile, where: the sentence begins with the place, and the excerpt shows the line as a compiler does.
 *
 * @param source the lines of the Dockerfile
 */
export function problemAt(source: readonly string[], place: Place, state: string, hint?: string): StrataError {
  return new StrataError(
    'invalidArgument',
    'STRATA_DOCKERFILE_INVALID',
    `Cannot read Dockerfile, line ${place.line}, column ${place.column}: ${state}`,
    { excerpt: excerpt(source, place), ...(hint === undefined ? {} : { hint }) },
  )
}

/** So much of a long line is shown: what comes before the place, and behind it. */
const SHOWN = { before: 60, behind: 40 }

/** The line with a mark below the place. */
function excerpt(source: readonly string[], { line, column }: Place): readonly string[] {
  const text = source[line - 1] ?? ''
  const from = Math.max(0, column - 1 - SHOWN.before)
  const shown = text.slice(from, column - 1 + SHOWN.behind)
  const label = `${line} | `
  // Tabs stay, so that the mark is below what it means.
  const indent = text.slice(from, column - 1).replace(/[^\t]/g, ' ')
  return [`${label}${shown}`, `${' '.repeat(label.length - 2)}| ${indent}^`]
}
