import { createHmac, randomBytes } from 'node:crypto'
import { StrataError } from '../base/index.ts'
import { RegistryError } from './registryError.ts'

/** Comparisons that wait for their turn; each takes the thread about 100 ms. */
const LONGEST_QUEUE = 16
/** What was right is not compared again: clients send it with every request. */
const REMEMBERED = 1000
/** A hash of nobody's password, for users that there are not: their answer takes as long. */
const NOBODY = '$2b$10$FILGFcqSCGp9FryTi1.8P.tAjgH42f8Ddw2Odp22K6smnj50MVWma'

/** The users of an htpasswd file. */
export class Passwords {
  readonly #hashes: ReadonlyMap<string, string>
  readonly #key: Buffer = randomBytes(32)
  readonly #remembered = new Set<string>()
  #waiting = 0
  #last: Promise<unknown> = Promise.resolve()

  constructor(hashes: ReadonlyMap<string, string>) {
    this.#hashes = hashes
  }

  knows(user: string): boolean {
    return this.#hashes.has(user)
  }

  /**
   * The user that an `Authorization` header names with the right password, else undefined. RFC 7617
   *
   * Rejects with a RegistryError (429) when too many others are being compared.
   */
  async userOf(header: string | undefined): Promise<string | undefined> {
    const [, encoded = ''] = /^basic +([a-z0-9+/=_-]{1,1024})$/i.exec(header ?? '') ?? []
    const text = Buffer.from(encoded, 'base64').toString()
    const colon = text.indexOf(':')
    if (colon === -1) return undefined
    const [user, password] = [text.slice(0, colon), text.slice(colon + 1)]
    const mark = createHmac('sha256', this.#key).update(text).digest('base64')
    if (this.#remembered.has(mark)) return user
    if (!(await this.#isRight(user, password))) return undefined
    if (this.#remembered.size >= REMEMBERED) this.#remembered.clear()
    this.#remembered.add(mark)
    return user
  }

  /** One comparison at a time: guessing is slow, and the others are served meanwhile. */
  async #isRight(user: string, password: string): Promise<boolean> {
    if (this.#waiting >= LONGEST_QUEUE)
      throw new RegistryError('TOOMANYREQUESTS', 'too many sign-ins at once', { headers: { 'retry-after': '2' } })
    this.#waiting += 1
    const before = this.#last
    const turn = Promise.withResolvers<void>()
    this.#last = turn.promise
    try {
      await before
      const { compare } = await import('bcryptjs')
      return (await compare(password, this.#hashes.get(user) ?? NOBODY)) && this.#hashes.has(user)
    } finally {
      this.#waiting -= 1
      turn.resolve()
    }
  }
}

const LINE = /^([^:\s][^:]{0,254}):(\$2[aby]\$\d\d\$[./A-Za-z0-9]{53})$/

/**
 * Reads an htpasswd file: `name:hash` lines with bcrypt hashes, empty ones and comments.
 *
 * @throws StrataError STRATA_HTPASSWD_INVALID, with the number of the line and never its text
 */
export function readPasswords(text: string): Passwords {
  const hashes = new Map<string, string>()
  for (const [position, line] of text.split('\n').entries()) {
    const trimmed = line.trim()
    if (trimmed === '' || trimmed.startsWith('#')) continue
    const [, user, hash] = LINE.exec(trimmed) ?? []
    if (user === undefined || hash === undefined) {
      throw new StrataError(
        'invalidArgument',
        'STRATA_HTPASSWD_INVALID',
        `Cannot read the htpasswd file: line ${position + 1} has no bcrypt hash`,
        {
          hint: 'Make lines with `htpasswd -nB NAME`.',
        },
      )
    }
    hashes.set(user, hash)
  }
  if (hashes.size === 0)
    throw new StrataError('invalidArgument', 'STRATA_HTPASSWD_INVALID', 'Cannot read the htpasswd file: it names no user')
  return new Passwords(hashes)
}
