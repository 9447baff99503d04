import type { Invocation } from './invocation.ts'
import { type OptionSpec, flag, text } from './options.ts'
import { layoutTable } from './tables.ts'
import { userSetting } from './userConfig.ts'
import { visibleLine } from './visible.ts'

/** How rows of one kind are shown: docker's field names, each with its column's header and its text. */
export interface Listing<Row> {
  readonly fields: Readonly<Record<string, Field<Row>>>
  /** The columns of the table that is shown without `--format`. */
  readonly columns: readonly string[]
  /** The field that `--quiet` shows. */
  readonly identity?: string
  /** Makes `{{.Label "key"}}` work. */
  readonly labels?: (row: Row) => Readonly<Record<string, string>>
}

export interface Field<Row> {
  readonly header: string
  readonly text: (row: Row) => string
}

export interface ListingOptions {
  readonly format?: string | undefined
  /** The key of `config.json` that has the format where none is given. */
  readonly setting?: `${'images' | 'networks' | 'ps' | 'volumes'}Format`
  readonly quiet?: boolean | undefined
}

const FORMAT_HELP = `Format output using a custom template:
'table': a table with column headers (default)
'table TEMPLATE': a table of the given Go template
'json': one JSON object a line
'TEMPLATE': the given Go template`

/** The flags that every list has. */
export const formatOption = (): OptionSpec<string | undefined> => text(FORMAT_HELP)
export const quietOption = (help: string): OptionSpec<boolean> => flag(help, { short: 'q' })

/** Prints rows as `--format` and `--quiet` ask for. */
export async function printListing<Row>(
  invocation: Invocation,
  listing: Listing<Row>,
  rows: readonly Row[],
  options: ListingOptions,
): Promise<void> {
  const { format, quiet, setting } = options
  const usual = setting === undefined || format !== undefined || quiet === true ? undefined : userSetting(invocation, setting)
  const shown = onTerminal(listing, () => invocation.surroundings.stdout.isTTY === true)
  invocation.print(await formatListing(shown, rows, usual === undefined ? options : { ...options, format: usual }))
}

/** On a terminal a cell is one line, and steers nothing, whatever strangers have written into an image. @param isTerminal asked when it matters */
function onTerminal<Row>(listing: Listing<Row>, isTerminal: () => boolean): Listing<Row> {
  const shown = (text: string): string => {
    const visible = visibleLine(text)
    return visible !== text && isTerminal() ? visible : text
  }
  const { fields, labels } = listing
  return {
    ...listing,
    fields: Object.fromEntries(
      Object.entries(fields).map(([name, field]) => [name, { ...field, text: (row: Row) => shown(field.text(row)) }]),
    ),
    ...(labels === undefined
      ? {}
      : { labels: (row: Row) => Object.fromEntries(Object.entries(labels(row)).map(([key, value]) => [key, shown(value)])) }),
  }
}

/** The text that `printListing` prints. */
export async function formatListing<Row>(
  listing: Listing<Row>,
  rows: readonly Row[],
  { format, quiet = false }: ListingOptions,
): Promise<string> {
  const wanted = (format ?? 'table').replaceAll(String.raw`\t`, '\t').replaceAll(String.raw`\n`, '\n')
  const isTable = /^table(?:\s|$)/.test(wanted)
  if (quiet && isTable && listing.identity !== undefined) {
    const { text } = listing.fields[listing.identity]!
    return rows.map(row => `${text(row)}\n`).join('')
  }
  const own = isTable ? wanted.slice('table'.length).trimStart() : wanted
  if (isTable && own === '') {
    const columns = listing.columns.map(name => listing.fields[name]!)
    const lines = rows.map(row => columns.map(column => column.text(row)).join('\t'))
    return layoutTable([columns.map(column => column.header).join('\t'), ...lines])
  }
  // Loaded when it is wanted: most lists are shown as they are.
  const { compileFormat } = await import('./formats.ts')
  const apply = compileFormat(own === 'json' ? '{{json .}}' : own)
  const lines = rows.map(row => apply(fieldValues(listing, row)))
  if (!isTable) return lines.map(line => `${line}\n`).join('')
  return layoutTable([apply(headers(listing)), ...lines].flatMap(line => line.split('\n')))
}

/** The row as the template sees it: every field by its name, computed when it is used. */
function fieldValues<Row>(listing: Listing<Row>, row: Row): object {
  const values = {}
  for (const name of Object.keys(listing.fields).sort()) {
    Object.defineProperty(values, name, { enumerable: true, get: () => listing.fields[name]!.text(row) })
  }
  if (listing.labels !== undefined) {
    const labels = listing.labels(row)
    Object.defineProperty(values, 'Label', { value: (key: unknown) => labels[String(key)] ?? '' })
  }
  return values
}

function headers<Row>(listing: Listing<Row>): object {
  const values: Record<string, unknown> = {}
  for (const [name, { header }] of Object.entries(listing.fields)) values[name] = header
  Object.defineProperty(values, 'Label', { value: (key: unknown) => String(key).split('.').at(-1)!.replaceAll(/[-_]/g, ' ') })
  return values
}
