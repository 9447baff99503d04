import { type Place, problemAt } from './place.ts'

/** The bytes behind `<<NAME` up to the line NAME. Dockerfile reference, "Here-Documents". */
export interface Heredoc {
  readonly name: string
  readonly content: string
  /** Whether variables in it are expanded: not where the name is quoted. */
  readonly expands: boolean
}

/** A line as an instruction has it: continued lines are one, comments among them gone. */
export interface LogicalLine {
  readonly text: string
  readonly first: number
  /** The last line, of its here-documents too. */
  readonly last: number
  readonly heredocs: readonly Heredoc[]
  /** Comments right above it, without their mark. */
  readonly comments: readonly string[]
  /** Empty lines in the middle of it. */
  readonly emptyLines: readonly number[]
  /** Where a character of `text` stands in the file. */
  placeOf(offset: number): Place
}

/** The special comments at the top. Dockerfile reference, "Parser directives". */
export interface Directives {
  readonly escape: '\\' | '`'
  readonly syntax?: string
  readonly check?: string
}

export interface SourceFile {
  /** As they stand in the file, for messages. */
  readonly source: readonly string[]
  readonly directives: Directives
  readonly lines: readonly LogicalLine[]
}

/** A Dockerfile is text that people write: more is not one. 8 MiB. */
const MAX_LENGTH = 8 * 1024 * 1024

const DIRECTIVE = /^#\s*([a-z][a-z0-9-]*)\s*=\s*(.*?)\s*$/i
const KNOWN_DIRECTIVES: ReadonlySet<string> = new Set(['syntax', 'escape', 'check'])

/** Instructions that may have here-documents; also as triggers. */
const WITH_HEREDOCS = /^\s*(?:ONBUILD\s+)*(?:RUN|COPY|ADD)\s/i

/**
 * Reads the lines of a Dockerfile: what each instruction has, and where it stands.
 *
 * @throws StrataError `invalidArgument` (STRATA_DOCKERFILE_INVALID) for a wrong directive or an open here-document
 */
export function readSource(text: string): SourceFile {
  const source = text.replace(/^\uFEFF/, '').split(/\r?\n/)
  if (text.length > MAX_LENGTH) throw problemAt(source, { line: 1, column: 1 }, `it has more than ${MAX_LENGTH} characters`)
  const directives = readDirectives(source)
  return { source, directives, lines: new LineReader(source, directives.escape).lines() }
}

function readDirectives(source: readonly string[]): Directives {
  const found = new Map<string, string>()
  for (const [index, line] of source.entries()) {
    const [, name = '', value = ''] = DIRECTIVE.exec(line) ?? []
    const key = name.toLowerCase()
    // Anything else, an unknown directive too, is a comment, and ends them.
    if (!KNOWN_DIRECTIVES.has(key)) break
    const place = { line: index + 1, column: line.search(/[a-z]/i) + 1 }
    if (found.has(key)) throw problemAt(source, place, `the directive "${key}" is there twice`)
    if (key === 'escape' && value !== '\\' && value !== '`') throw problemAt(source, place, 'the escape character is neither \\ nor `')
    found.set(key, value)
  }
  const [syntax, check] = [found.get('syntax'), found.get('check')]
  return {
    escape: found.get('escape') === '`' ? '`' : '\\',
    ...(syntax === undefined ? {} : { syntax }),
    ...(check === undefined ? {} : { check }),
  }
}

/** A part of a logical line that comes from one line of the file. */
interface Piece {
  /** Where it begins in the logical line. */
  readonly offset: number
  readonly place: Place
}

class LineReader {
  readonly #source: readonly string[]
  readonly #continued: RegExp
  #next = 0

  constructor(source: readonly string[], escape: Directives['escape']) {
    this.#source = source
    // An escaped escape character continues nothing.
    this.#continued = escape === '`' ? /^(?:|.*[^`])`[ \t]*$/ : /^(?:|.*[^\\])\\[ \t]*$/
  }

  lines(): readonly LogicalLine[] {
    const lines: LogicalLine[] = []
    let comments: string[] = []
    while (this.#next < this.#source.length) {
      const text = this.#source[this.#next]!
      const comment = /^\s*#\s?(.*)$/.exec(text)
      if (comment !== null) {
        comments.push(comment[1]!)
        this.#next += 1
      } else if (text.trim() === '') {
        comments = []
        this.#next += 1
      } else {
        lines.push(this.#logicalLine(comments))
        comments = []
      }
    }
    return lines
  }

  #logicalLine(comments: readonly string[]): LogicalLine {
    const first = this.#next + 1
    const pieces: Piece[] = []
    const emptyLines: number[] = []
    let text = ''
    for (let isOpen = true; isOpen && this.#next < this.#source.length; this.#next += 1) {
      const line = this.#source[this.#next]!
      const number = this.#next + 1
      if (pieces.length > 0 && /^\s*(?:#|$)/.test(line)) {
        if (line.trim() === '') emptyLines.push(number)
        continue
      }
      const start = pieces.length === 0 ? line.search(/\S/) : 0
      isOpen = this.#continued.test(line)
      const piece = isOpen ? line.slice(start).replace(/.[ \t]*$/, '') : line.slice(start)
      pieces.push({ offset: text.length, place: { line: number, column: start + 1 } })
      text += piece
    }
    const placeOf = (offset: number): Place => placeIn(pieces, offset)
    text = text.trimEnd()
    const heredocs = WITH_HEREDOCS.test(text) ? heredocsOf(text).map(opened => this.#heredoc(opened, placeOf)) : []
    return { text, first, last: this.#next, heredocs, comments, emptyLines, placeOf }
  }

  #heredoc({ name, offset, isQuoted, stripsTabs }: OpenedHeredoc, placeOf: LogicalLine['placeOf']): Heredoc {
    let content = ''
    for (; this.#next < this.#source.length; this.#next += 1) {
      const line = stripsTabs ? this.#source[this.#next]!.replace(/^\t+/, '') : this.#source[this.#next]!
      if (line === name) {
        this.#next += 1
        return { name, content, expands: !isQuoted }
      }
      content += `${line}\n`
    }
    throw problemAt(this.#source, placeOf(offset), `the here-document "${name}" has no end`, `It ends with a line that is ${name}.`)
  }
}

interface OpenedHeredoc {
  readonly name: string
  readonly offset: number
  readonly isQuoted: boolean
  readonly stripsTabs: boolean
}

/** A word that opens a here-document, maybe for a file descriptor of its own. POSIX shell, "Here-Document". */
const HEREDOC_WORD = /(?<=^|\s)\d*<<(-?)(?:"([^"\s<]+)"|'([^'\s<]+)'|([^\s"'<>|;&()]+))(?=$|[\s;|&<>)])/g

/** Those that a line opens, outside of quotes. */
function heredocsOf(text: string): readonly OpenedHeredoc[] {
  const quoted = quotedRanges(text)
  let next = 0
  return [...text.matchAll(HEREDOC_WORD)].flatMap(match => {
    const [, dash, double, single, bare] = match
    while (next < quoted.length && quoted[next]![1] < match.index) next += 1
    if (next < quoted.length && quoted[next]![0] < match.index) return []
    const name = double ?? single ?? bare!
    return [{ name, offset: match.index, isQuoted: bare === undefined, stripsTabs: dash === '-' }]
  })
}

/** Where quotes open and close; one that does not close is none. */
function quotedRanges(text: string): readonly (readonly [number, number])[] {
  const ranges: [number, number][] = []
  for (let at = 0; at < text.length; at += 1) {
    const char = text[at]!
    if (char === '\\') at += 1
    else if (char === '"' || char === "'") {
      const close = closingQuote(text, at)
      if (close < 0) continue
      ranges.push([at, close])
      at = close
    }
  }
  return ranges
}

function closingQuote(text: string, open: number): number {
  const quote = text[open]!
  for (let at = open + 1; at < text.length; at += 1) {
    if (quote === '"' && text[at] === '\\') at += 1
    else if (text[at] === quote) return at
  }
  return -1
}

/** The last piece that begins at an offset or before it has it. */
function placeIn(pieces: readonly Piece[], offset: number): Place {
  const piece = pieces.findLast(each => each.offset <= offset) ?? pieces[0]!
  return { line: piece.place.line, column: piece.place.column + offset - piece.offset }
}
