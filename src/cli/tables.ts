export interface TableLayout {
  /** A column is at least so wide, its padding included. */
  readonly minimum?: number
  readonly padding?: number
}

/**
 * Lays out lines whose cells are separated by tabs in columns, as Go's text/tabwriter does for
 * docker: a column is as wide as its widest cell and three spaces, at least ten; the last cell of a
 * line ends it and belongs to no column.
 */
export function layoutTable(lines: readonly string[], { minimum = 10, padding = 3 }: TableLayout = {}): string {
  const rows = lines.map(line => line.split('\t'))
  const columns = Math.max(0, ...rows.map(row => row.length - 1))
  for (let column = 0; column < columns; column += 1) {
    // A column ends where a line has no such cell; below, its width is measured anew.
    for (let start = 0; start < rows.length; start += 1) {
      if (rows[start]!.length - 1 <= column) continue
      let end = start
      while (end < rows.length && rows[end]!.length - 1 > column) end += 1
      const block = rows.slice(start, end)
      const width = Math.max(minimum, ...block.map(row => displayWidth(row[column]!) + padding))
      for (const row of block) row[column] += ' '.repeat(width - displayWidth(row[column]!))
      start = end
    }
  }
  return rows.map(row => `${row.join('')}\n`).join('')
}

/** Characters, as tabwriter counts. */
function displayWidth(text: string): number {
  return /[\ud800-\udbff]/.test(text) ? Array.from(text).length : text.length
}

/** Cuts a text to so many characters, the last of which tells that something is missing. */
export function ellipsis(text: string, most: number): string {
  const characters = Array.from(text)
  return characters.length <= most ? text : `${characters.slice(0, most - 1).join('')}…`
}

/** The short form of an id or digest: twelve hexadecimal digits. */
export function shortId(id: string): string {
  return id.replace(/^sha256:/, '').slice(0, 12)
}
