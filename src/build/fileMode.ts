import { StrataError } from '../base/index.ts'

/** A change of permission bits. @param isDirectory X of a symbolic mode asks for it */
export type ModeChange = (mode: number, isDirectory: boolean) => number

const BITS: Readonly<Record<string, number>> = { r: 4, w: 2, x: 1 }
/** Where the bits of a class stand, and which of setuid, setgid and sticky is its own, by which letter. */
const CLASSES: Readonly<Record<string, { readonly shift: number; readonly special: number; readonly letter: string }>> = {
  u: { shift: 6, special: 0o4000, letter: 's' },
  g: { shift: 3, special: 0o2000, letter: 's' },
  o: { shift: 0, special: 0o1000, letter: 't' },
}
const CLAUSE = /^([ugoa]*)((?:[-+=](?:[rwxXst]*|[ugo]))+)$/

/**
 * Reads what `--chmod` takes: an octal mode, or clauses such as `u=rwX,go-w`. chmod(1), POSIX "chmod".
 * There is no umask in a build: no class is all classes.
 *
 * @throws StrataError `invalidArgument` (STRATA_INVALID_MODE)
 */
export function parseMode(text: string): ModeChange {
  if (/^0?[0-7]{1,4}$/.test(text)) {
    const mode = Number.parseInt(text, 8)
    return () => mode
  }
  const steps = text.split(',').flatMap(clause => stepsOf(text, clause))
  return (mode, isDirectory) => steps.reduce((changed, step) => step(changed, isDirectory), mode)
}

function stepsOf(text: string, clause: string): readonly ModeChange[] {
  const [, classes = '', actions] = CLAUSE.exec(clause) ?? []
  if (actions === undefined) {
    throw new StrataError('invalidArgument', 'STRATA_INVALID_MODE', `Cannot use mode "${text}": it is neither octal nor as chmod takes it`)
  }
  const meant = classes === '' || classes.includes('a') ? ['u', 'g', 'o'] : [...new Set(classes)]
  return [...actions.matchAll(/([-+=])([rwxXst]*|[ugo])(?=[-+=]|$)/g)].map(([, operator, what = '']): ModeChange => {
    return (mode, isDirectory) => {
      const given = bitsOf(what, meant, { mode, isDirectory })
      if (operator === '+') return mode | given
      if (operator === '-') return mode & ~given
      const kept = meant.reduce((mask, name) => mask & ~((7 << CLASSES[name]!.shift) | CLASSES[name]!.special), mode)
      return kept | given
    }
  })
}

function bitsOf(what: string, classes: readonly string[], file: { readonly mode: number; readonly isDirectory: boolean }): number {
  const isExecutable = file.isDirectory || (file.mode & 0o111) !== 0
  const copied = /^[ugo]$/.test(what) ? (file.mode >> CLASSES[what]!.shift) & 7 : 0
  const plain = copied | Array.from(what).reduce((bits, letter) => bits | (letter === 'X' ? Number(isExecutable) : (BITS[letter] ?? 0)), 0)
  return classes.reduce((bits, name) => {
    const { shift, special, letter } = CLASSES[name]!
    return bits | (plain << shift) | (what.includes(letter) ? special : 0)
  }, 0)
}
