import { readFile } from 'node:fs/promises'
import { StrataError, systemError } from '../../base/index.ts'

export type Environment = Readonly<Record<string, string | undefined>>

/**
 * The environment that `--env-file` and `-e` ask for, files first. A `NAME` alone takes its value
 * from `env`, and where that has none either it is kept alone: it removes the image's.
 */
export async function resolveEnvironment(files: readonly string[], texts: readonly string[], env: Environment): Promise<readonly string[]> {
  const lines: string[] = []
  for (const file of files) {
    for (const line of await readLines(file)) {
      const name = line.split('=', 1)[0]!
      if (name === '' || /\s/.test(name))
        throw wrongFile(file, name === '' ? 'no variable name stands before "="' : `the variable name "${name}" has white space`)
      // In a file, docker leaves out a variable that is not set here.
      if (line.includes('=')) lines.push(line)
      else if (env[line] !== undefined) lines.push(`${line}=${env[line]}`)
    }
  }
  for (const text of texts) {
    if (text === '' || text.startsWith('=')) {
      throw new StrataError('invalidArgument', 'STRATA_INVALID_FLAG', `Cannot use --env "${text}": expected NAME or NAME=value`)
    }
    lines.push(text.includes('=') || env[text] === undefined ? text : `${text}=${env[text]}`)
  }
  return lines
}

/** `key=value` from files and flags, the flags last; a key alone has an empty value. */
export async function readKeyValues(flag: string, files: readonly string[], texts: readonly string[]): Promise<Record<string, string>> {
  const values: Record<string, string> = {}
  for (const file of files) for (const line of await readLines(file)) add(line, () => wrongFile(file, 'no key stands before "="'))
  for (const text of texts) {
    add(text, () => new StrataError('invalidArgument', 'STRATA_INVALID_FLAG', `Cannot use ${flag} "${text}": expected key=value`))
  }
  return values

  function add(text: string, wrong: () => StrataError): void {
    const equals = text.indexOf('=')
    const key = equals === -1 ? text : text.slice(0, equals)
    if (key === '') throw wrong()
    // A plain assignment to `__proto__` would set no own property.
    Object.defineProperty(values, key, {
      value: equals === -1 ? '' : text.slice(equals + 1),
      enumerable: true,
      configurable: true,
      writable: true,
    })
  }
}

/** The lines that say something: comments and empty ones are left out, and white space before them. */
async function readLines(file: string): Promise<readonly string[]> {
  let text: string
  try {
    text = await readFile(file, 'utf8')
  } catch (error) {
    throw systemError(`read "${file}"`, error)
  }
  return text
    .replace(/^\uFEFF/, '')
    .split(/\r?\n/)
    .map(line => line.trimStart())
    .filter(line => line !== '' && !line.startsWith('#'))
}

/** Says which file, and not what a line holds after the name: it may be a secret. */
function wrongFile(file: string, state: string): StrataError {
  return new StrataError('invalidArgument', 'STRATA_INVALID_FLAG', `Cannot use "${file}": ${state}`)
}
