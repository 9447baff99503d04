/**
 * What steers a terminal or makes a text look like another one: the controls of ASCII and of Unicode (C0, DEL, C1), separators
 * of lines, and the marks, embeddings, overrides and isolates of Unicode's bidirectional algorithm (UAX #9, table 4).
 */
const STEERING = /[\p{Cc}\p{Zl}\p{Zp}\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu

/** A text of strangers on one line, as it may stand in a message or in a cell of a table: `\u001b` for what steers a terminal. */
export function visibleLine(text: string): string {
  return text.replaceAll(STEERING, escaped)
}

/** As `visibleLine`, of a text that has lines and tabs of its own. */
export function visibleText(text: string): string {
  return text.replaceAll(STEERING, character => (character === '\n' || character === '\t' ? character : escaped(character)))
}

const escaped = (character: string): string => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
