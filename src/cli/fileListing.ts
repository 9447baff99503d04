import { encodeFileName } from '../base/index.ts'
import type { FileListing, ListedFile } from '../engine/index.ts'

interface ListingFormat {
  /** As `ls -l` does. */
  readonly long: boolean
  /** Each directory under its path, as `ls -R` does. */
  readonly heading: boolean
  readonly isFirst: boolean
  /** What an image calls its files must not steer a terminal. */
  readonly isTerminal: boolean
}

/** One directory as ls(1) prints it, with numbers for owners and times of UTC. */
export function formatListing({ directory, files }: FileListing, { long, heading, isFirst, isTerminal }: ListingFormat): Buffer {
  const shown = isTerminal ? visible : (name: string): string => name
  const lines = long ? longLines(files, shown) : files.map(({ name }) => shown(name))
  const title = heading && directory !== undefined ? `${isFirst ? '' : '\n'}${shown(directory)}:\n` : ''
  return encodeFileName(title + lines.map(line => `${line}\n`).join(''))
}

/** Bytes and characters that are not printable, and backslashes, in the notation of C: `\n`, `\033`. */
export function visible(name: string): string {
  return name.replaceAll(/[\p{C}\p{Zl}\p{Zp}\\]/gu, character => {
    if (character === '\\') return '\\\\'
    if (character === '\n') return '\\n'
    if (character === '\t') return '\\t'
    return [...encodeFileName(character)].map(byte => `\\${byte.toString(8).padStart(3, '0')}`).join('')
  })
}

const TYPE_LETTERS: Readonly<Record<ListedFile['type'], string>> = {
  file: '-',
  directory: 'd',
  symlink: 'l',
  character: 'c',
  block: 'b',
  fifo: 'p',
  socket: 's',
}

function longLines(files: readonly ListedFile[], shown: (name: string) => string): readonly string[] {
  const rows = files.map(file => {
    const { name, links, uid, gid, linkTarget } = file
    const target = linkTarget === undefined ? '' : ` -> ${shown(linkTarget)}`
    return { mode: modeOf(file), numbers: [links, uid, gid, sizeOf(file)].map(String), rest: `${timeOf(file)} ${shown(name)}${target}` }
  })
  const widths = [0, 1, 2, 3].map(column => Math.max(...rows.map(({ numbers }) => numbers[column]!.length)))
  return rows.map(({ mode, numbers, rest }) => `${mode} ${numbers.map((text, column) => text.padStart(widths[column]!)).join(' ')} ${rest}`)
}

/** `-rwsr-xr-t`; POSIX ls, "file mode". */
function modeOf({ type, mode }: ListedFile): string {
  const letters = ['r', 'w', 'x', 'r', 'w', 'x', 'r', 'w', 'x'].map((letter, at) => ((mode & (0o400 >> at)) === 0 ? '-' : letter))
  const special = [
    [0o4000, 2, 's'],
    [0o2000, 5, 's'],
    [0o1000, 8, 't'],
  ] as const
  for (const [bit, at, letter] of special) if ((mode & bit) !== 0) letters[at] = letters[at] === 'x' ? letter : letter.toUpperCase()
  return TYPE_LETTERS[type] + letters.join('')
}

/** Of a device its numbers; of a symlink the bytes of its target. */
function sizeOf({ size, device, linkTarget }: ListedFile): string {
  if (device !== undefined) return `${device.major}, ${device.minor}`
  return String(linkTarget === undefined ? size : encodeFileName(linkTarget).length)
}

/** `2024-05-01 12:30`; seconds since 1970 where the calendar ends. */
function timeOf({ modifiedAt: { seconds } }: ListedFile): string {
  const date = new Date(seconds * 1000)
  return Number.isNaN(date.getTime()) ? `@${seconds}` : date.toISOString().slice(0, -8).replace('T', ' ')
}
