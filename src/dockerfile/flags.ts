/** `--name=value` and `--name` before an instruction's arguments. */
export interface Flag {
  readonly name: string
  /** Undefined for `--name` alone. */
  readonly value: string | undefined
  /** Where it begins in the arguments. */
  readonly offset: number
}

/**
 * Takes the flags off an instruction's arguments. Quotes keep blanks together, an escape character its next one; `--`
 * alone ends them.
 *
 * @param escape the file's escape character
 */
export function readFlags(
  text: string,
  escape: string,
): { readonly flags: readonly Flag[]; readonly rest: string; readonly offset: number } {
  const flags: Flag[] = []
  let at = 0
  for (;;) {
    while (/\s/.test(text[at] ?? '')) at += 1
    if (!text.startsWith('--', at)) break
    const end = endOfWord(text, at, escape)
    const word = text.slice(at, end)
    if (word === '--') {
      at = end
      while (/\s/.test(text[at] ?? '')) at += 1
      break
    }
    const equals = word.indexOf('=')
    flags.push({
      name: equals < 0 ? word.slice(2) : word.slice(2, equals),
      value: equals < 0 ? undefined : unquoted(word.slice(equals + 1), escape),
      offset: at,
    })
    at = end
  }
  return { flags, rest: text.slice(at), offset: at }
}

function endOfWord(text: string, start: number, escape: string): number {
  let quote = ''
  for (let at = start; at < text.length; at += 1) {
    const char = text[at]!
    if (char === escape && quote !== "'") at += 1
    else if (quote !== '') quote = char === quote ? '' : quote
    else if (char === '"' || char === "'") quote = char
    else if (/\s/.test(char)) return at
  }
  return text.length
}

/** Quotes go; variables and what is escaped stay for their expansion. */
function unquoted(word: string, escape: string): string {
  let result = ''
  let quote = ''
  for (let at = 0; at < word.length; at += 1) {
    const char = word[at]!
    if (char === escape && quote !== "'" && at + 1 < word.length) {
      at += 1
      result += word[at] === '$' ? escape + word[at]! : word[at]!
    } else if (quote === '' && (char === '"' || char === "'")) quote = char
    else if (char === quote) quote = ''
    else result += char
  }
  return result
}
