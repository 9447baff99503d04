const DECIMAL_UNITS = ['B', 'kB', 'MB', 'GB', 'TB', 'PB', 'EB', 'ZB', 'YB']
const BINARY_UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB', 'ZiB', 'YiB']

function scaled(bytes: number, base: number, units: readonly string[], digits: number): string {
  let size = bytes
  let unit = 0
  // Compared as it will be printed: 999.9 kB with three digits is 1 MB, not 1000 kB.
  while (Math.abs(Number(size.toPrecision(digits))) >= base && unit < units.length - 1) {
    size /= base
    unit += 1
  }
  return `${Number(size.toPrecision(digits))}${units[unit]}`
}

/**
 * A size as docker prints it, in powers of 1000 with the zeros at the end left out: `7.8MB`, `1.63GB`, `0B`.
 *
 * @param digits how many digits count: 3 in lists, 4 where docker sums up
 */
export function humanSize(bytes: number, digits = 3): string {
  return scaled(bytes, 1000, DECIMAL_UNITS, digits)
}

/** A size in powers of 1024: `15.52GiB`. */
export function binarySize(bytes: number): string {
  return scaled(bytes, 1024, BINARY_UNITS, 4)
}

/**
 * Reads a size as people give it to `--memory`: a number, and b, k, m, g, t or p (or kb, kib, …), in
 * powers of 1024. -1 is itself: without limit.
 */
export function parseBytes(text: string): number {
  if (text === '-1') return -1
  const [, number, unit] = /^(\d+(?:\.\d+)?) ?(?:([kmgtp])i?b?|b)?$/i.exec(text) ?? []
  if (number === undefined) throw new Error(`invalid size: '${text}'`)
  return Math.floor(Number(number) * 1024 ** ('kmgtp'.indexOf((unit ?? '').toLowerCase() || ' ') + 1))
}
