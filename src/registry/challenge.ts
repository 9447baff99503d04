/** What a registry asks for: one challenge of a `WWW-Authenticate` header. RFC 9110 section 11.6.1 */
export interface Challenge {
  /** In lower case: `basic`, `bearer`. */
  readonly scheme: string
  /** Names in lower case. */
  readonly parameters: ReadonlyMap<string, string>
}

/** RFC 9110 section 5.6.2 */
const TOKEN = "[A-Za-z0-9!#$%&'*+.^_`|~-]+"
const SCHEME = new RegExp(String.raw`[\s,]*(${TOKEN})(?=[\s,]|$)`, 'y')
const PARAMETER = new RegExp(String.raw`[\s,]*(${TOKEN})\s*=\s*(?:"((?:[^"\\]|\\.)*)"|(${TOKEN}))`, 'y')
/** What schemes such as Negotiate have in place of parameters. */
const TOKEN68 = /\s+[\w.~+/-]+=*(?=\s*(?:,|$))/y

/** Reads all challenges of a header; what cannot be read ends the list. */
export function parseChallenges(header: string): readonly Challenge[] {
  let at = 0
  const take = (pattern: RegExp): RegExpExecArray | null => {
    pattern.lastIndex = at
    const found = pattern.exec(header)
    if (found !== null) at = pattern.lastIndex
    return found
  }
  const challenges: Challenge[] = []
  for (let scheme = take(SCHEME); scheme !== null; scheme = take(SCHEME)) {
    const parameters = new Map<string, string>()
    const [isOpaque] = take(TOKEN68) ?? []
    if (isOpaque === undefined) {
      for (let found = take(PARAMETER); found !== null; found = take(PARAMETER)) {
        const [, name = '', quoted, token = ''] = found
        parameters.set(name.toLowerCase(), quoted === undefined ? token : quoted.replaceAll(/\\(.)/g, '$1'))
      }
    }
    challenges.push({ scheme: scheme[1]!.toLowerCase(), parameters })
  }
  return challenges
}
