/** A pattern of `*`, `?` and characters for themselves; a backslash takes the meaning from the next. POSIX shell, "Pattern Matching Notation". */
type Element = { readonly char: string } | 'one' | 'any'

function elementsOf(pattern: string): readonly Element[] {
  const elements: Element[] = []
  const chars = Array.from(pattern)
  for (let at = 0; at < chars.length; at += 1) {
    const char = chars[at]!
    if (char === '*') elements.push('any')
    else if (char === '?') elements.push('one')
    else if (char === '\\' && at + 1 < chars.length) elements.push({ char: chars[(at += 1)]! })
    else elements.push({ char })
  }
  return elements
}

/** How many characters a pattern may take from `start` on: every number that it can, ascending. Never more than pattern × text steps. */
function lengthsFrom(text: readonly string[], start: number, elements: readonly Element[]): readonly number[] {
  const closed = (states: ReadonlySet<number>): Set<number> => {
    const all = new Set(states)
    // A set is walked in the order of insertion, what is added on the way included.
    for (const state of all) if (elements[state] === 'any') all.add(state + 1)
    return all
  }
  const lengths: number[] = []
  let states = closed(new Set([0]))
  for (let at = start; states.size > 0; at += 1) {
    if (states.has(elements.length)) lengths.push(at - start)
    if (at === text.length) break
    const next = new Set<number>()
    for (const state of states) {
      const element = elements[state]
      if (element === 'any') next.add(state)
      else if (element === 'one' || (element !== undefined && element.char === text[at])) next.add(state + 1)
    }
    states = closed(next)
  }
  return lengths
}

/** Takes the shortest or the longest part that matches off one end of a text; gives it as it is where nothing does. */
export function withoutMatch(text: string, pattern: string, which: { readonly end: 'front' | 'back'; readonly longest: boolean }): string {
  const isFront = which.end === 'front'
  const chars = isFront ? Array.from(text) : Array.from(text).toReversed()
  const elements = isFront ? elementsOf(pattern) : elementsOf(pattern).toReversed()
  const lengths = lengthsFrom(chars, 0, elements)
  const length = which.longest ? lengths.at(-1) : lengths[0]
  if (length === undefined) return text
  const rest = chars.slice(length)
  return (isFront ? rest : rest.toReversed()).join('')
}

/** Puts `replacement` in the place of the first part that matches, as long as possible, or of all. */
export function withMatchReplaced(text: string, pattern: string, replacement: string, all: boolean): string {
  const chars = Array.from(text)
  const elements = elementsOf(pattern)
  let result = ''
  for (let at = 0; at < chars.length;) {
    const length = lengthsFrom(chars, at, elements).at(-1) ?? 0
    if (length === 0) {
      result += chars[at]!
      at += 1
      continue
    }
    result += replacement
    at += length
    if (!all) return result + chars.slice(at).join('')
  }
  return result
}
