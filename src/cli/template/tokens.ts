import { type Position, TemplateError } from './ast.ts'

export type Token = { readonly at: Position } & (
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'open' | 'close' | 'end' | 'space' }
  | { readonly kind: 'field' | 'variable' | 'word' | 'symbol'; readonly text: string }
  | { readonly kind: 'literal'; readonly value: string | number }
)

const ACTION_TOKENS: readonly (readonly [RegExp, (text: string, at: Position) => Token])[] = [
  [/\s+/y, (_, at) => ({ kind: 'space', at })],
  [/"(?:[^"\\\n]|\\.)*"/y, (text, at) => ({ kind: 'literal', value: unquote(text, at), at })],
  [/`[^`]*`/y, (text, at) => ({ kind: 'literal', value: text.slice(1, -1), at })],
  [/'(?:[^'\\\n]|\\.)+'/y, (text, at) => ({ kind: 'literal', value: unquote(text, at).codePointAt(0)!, at })],
  [
    /[+-]?(?:0x[\da-f]+|0o?[0-7]+(?![\d.])|0b[01]+|(?:\d[\d_]*\.?\d*|\.\d+)(?:e[+-]?\d+)?)/iy,
    (text, at) => ({ kind: 'literal', value: readNumber(text), at }),
  ],
  [/\.[\p{L}_][\p{L}\p{Nd}_]*/uy, (text, at) => ({ kind: 'field', text: text.slice(1), at })],
  [/\$(?:[\p{L}_][\p{L}\p{Nd}_]*)?/uy, (text, at) => ({ kind: 'variable', text, at })],
  [/[\p{L}_][\p{L}\p{Nd}_]*/uy, (text, at) => ({ kind: 'word', text, at })],
  [/:=|[.|(),=]/y, (text, at) => ({ kind: 'symbol', text, at })],
]

/** Cuts a template into text and the tokens of its actions; trim markers and comments are done with here. */
export function readTokens(source: string): readonly Token[] {
  const tokens: Token[] = []
  const position = (offset: number): Position => {
    const before = source.slice(0, offset)
    return { line: before.split('\n').length, column: offset - (before.lastIndexOf('\n') + 1) }
  }
  let offset = 0
  let trimNext = false
  while (offset < source.length) {
    const open = source.indexOf('{{', offset)
    const textEnd = open === -1 ? source.length : open
    let text = source.slice(offset, textEnd)
    if (trimNext) text = text.trimStart()
    const trims = open !== -1 && /^\{\{-\s/.test(source.slice(open, open + 4))
    if (trims) text = text.trimEnd()
    if (text !== '') tokens.push({ kind: 'text', text, at: position(offset) })
    if (open === -1) break

    offset = open + (trims ? 3 : 2)
    const comment = /\s*\/\*[\s\S]*?\*\/\s*?( -)?\}\}/y
    comment.lastIndex = offset
    const found = comment.exec(source)
    if (found !== null) {
      trimNext = found[1] !== undefined
      offset = comment.lastIndex
      continue
    }
    tokens.push({ kind: 'open', at: position(open) })
    const action = readAction(source, offset, position)
    tokens.push(...action.tokens, { kind: 'close', at: position(action.end) })
    trimNext = action.trims
    offset = action.end
  }
  tokens.push({ kind: 'end', at: position(source.length) })
  return tokens
}

function readAction(
  source: string,
  start: number,
  position: (offset: number) => Position,
): { tokens: Token[]; end: number; trims: boolean } {
  const tokens: Token[] = []
  let offset = start
  for (;;) {
    if (source.startsWith('}}', offset)) return { tokens, end: offset + 2, trims: false }
    if (/^\s-\}\}/.test(source.slice(offset, offset + 4))) return { tokens, end: offset + 4, trims: true }
    if (offset >= source.length) throw new TemplateError(`template: :${position(start).line}: unclosed action`)
    const before = offset
    for (const [pattern, make] of ACTION_TOKENS) {
      pattern.lastIndex = offset
      const found = pattern.exec(source)?.[0]
      if (found === undefined || found === '') continue
      // Leading space of ` -}}` belongs to the trim marker.
      const marker = /^\s+$/.test(found) && source.startsWith('-}}', offset + found.length)
      tokens.push(make(found, position(offset)))
      offset += marker ? found.length - 1 : found.length
      if (marker && found.length === 1) return { tokens, end: offset + 4, trims: true }
      break
    }
    if (offset === before) {
      const at = position(offset)
      const what = /["`']/.test(source[offset]!) ? 'unterminated quoted string' : `unexpected "${source[offset]}" in command`
      throw new TemplateError(`template: :${at.line}: ${what}`)
    }
  }
}

const ESCAPES: Readonly<Record<string, string>> = { a: '\x07', b: '\b', f: '\f', n: '\n', r: '\r', t: '\t', v: '\v' }

/** The value of a Go string or character literal with its quotes. */
function unquote(text: string, at: Position): string {
  return text.slice(1, -1).replace(/\\(x[\da-f]{2}|u[\da-f]{4}|U[\da-f]{8}|[0-7]{3}|.)/gi, (_, escape: string) => {
    if (/^[xuU]./.test(escape)) {
      const code = Number.parseInt(escape.slice(1), 16)
      if (code <= 0x10ffff) return String.fromCodePoint(code)
    }
    if (/^[0-7]{3}$/.test(escape)) return String.fromCodePoint(Number.parseInt(escape, 8))
    const char = ESCAPES[escape] ?? (/[\\"']/.test(escape) ? escape : undefined)
    if (char === undefined) throw new TemplateError(`template: :${at.line}: invalid escape "\\${escape}" in ${text}`)
    return char
  })
}

function readNumber(text: string): number {
  const [, sign = '', digits = ''] = /^([+-]?)(.*)$/.exec(text.replaceAll('_', '')) ?? []
  const value = /^0[0-7]+$/.test(digits) ? Number.parseInt(digits, 8) : Number(digits)
  return sign === '-' ? -value : value
}
