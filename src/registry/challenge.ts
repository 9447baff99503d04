/** What a registry asks for: one challenge of a `WWW-Authenticate` header. RFC 9110 section 11.6.1 */
export interface Challenge {
  /** In lower case: `basic`, `bearer`. */
  readonly scheme: string
  /** Names in lower case. */
  readonly parameters: ReadonlyMap<string, string>
}

/** Reads all challenges of a header; what cannot be read ends the list. */
export function parseChallenges(header: string): readonly Challenge[] {
  const challenges: Challenge[] = []
  let rest = header
  for (let scheme = /^[\s,]*([A-Za-z0-9!#$%&'*+.^_`|~-]+)(?:\s+|$)/.exec(rest); scheme !== null;) {
    rest = rest.slice(scheme[0].length)
    const parameters = new Map<string, string>()
    for (let found = PARAMETER.exec(rest); found !== null; found = PARAMETER.exec(rest)) {
      const [whole, name = '', quoted, token] = found
      parameters.set(name.toLowerCase(), quoted === undefined ? (token ?? '') : quoted.replaceAll(/\\(.)/g, '$1'))
      rest = rest.slice(whole.length)
    }
    challenges.push({ scheme: scheme[1]!.toLowerCase(), parameters })
    scheme = /^[\s,]*([A-Za-z0-9!#$%&'*+.^_`|~-]+)(?:\s+|$)/.exec(rest)
  }
  return challenges
}

const PARAMETER = /^[\s,]*([A-Za-z0-9!#$%&'*+.^_`|~-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([A-Za-z0-9!#$%&'*+.^_`|~-]+))/
