import { fstatSync, readSync } from 'node:fs'
import { errnoOf, StrataError, systemError } from '../base/index.ts'
import { close, type ConfinedRoot } from '../host/index.ts'

/** Who a process is, with what the environment tells of it. */
export interface ResolvedUser {
  readonly uid: number
  readonly gid: number
  readonly additionalGids: readonly number[]
  /** For HOME, when the environment has none. */
  readonly home: string
  /** Where the image has one for the uid. */
  readonly name?: string
}

/** docker's bound: greater numbers become negative in 32 bits, and then 0. CVE-2024-40635 */
const MAX_ID = 2 ** 31 - 1

/** Far more than any real file; an image's own can be made to exhaust memory. */
const FILE_LIMIT = 16 * 1024 * 1024
const GROUPS_LIMIT = 65_536 // NGROUPS_MAX of Linux

/** Throws `invalidArgument` for what is no user or group id: hostile #91. */
export function checkId(id: number): number {
  if (Number.isInteger(id) && id >= 0 && id <= MAX_ID) return id
  throw new StrataError('invalidArgument', 'STRATA_ID_OUT_OF_RANGE', `Cannot use id ${id}: user and group ids are 0 to ${MAX_ID}`)
}

/**
 * Looks up who a container's process is, in the image's own /etc/passwd and /etc/group: regular
 * files, resolved under `root`, read up to 16 MiB each.
 *
 * @param text `name|uid[:group|gid]`; `''` is root
 * @param more.groups further groups, names or numbers
 * @throws invalidArgument for names that the image has not and ids out of range
 */
export function resolveUser(root: ConfinedRoot, text: string, more: { readonly groups?: readonly string[] } = {}): ResolvedUser {
  const { name, group } = splitUser(text)
  const users = readTable(root, 'etc/passwd', 7)
  const groups = readTable(root, 'etc/group', 4)

  const uid = parseId(name)
  const entry =
    users.find(fields => fields[0] === name) ?? (uid === undefined ? undefined : users.find(fields => parseId(fields[2] ?? '') === uid))
  if (entry === undefined && uid === undefined) throw unknownName('user', name, 'passwd')
  const userName = entry?.[0]
  const gid = group === undefined ? checkId(parseId(entry?.[3] ?? '0') ?? Number.NaN) : findGroup(groups, group)

  const additional = new Set<number>()
  // A group that is given replaces all groups of the user, as docker does it.
  if (group === undefined && userName !== undefined) {
    for (const fields of groups) {
      if (!(fields[3] ?? '').split(',').includes(userName)) continue
      const member = parseId(fields[2] ?? '')
      if (member !== undefined) additional.add(checkId(member))
    }
  }
  for (const extra of more.groups ?? []) additional.add(findGroup(groups, extra))
  if (additional.size > GROUPS_LIMIT) {
    throw new StrataError(
      'resourceExhausted',
      'STRATA_TOO_MANY_GROUPS',
      `Cannot use user "${text}": it is in more than ${GROUPS_LIMIT} groups`,
    )
  }
  const id = checkId(entry === undefined ? (uid ?? Number.NaN) : (parseId(entry[2] ?? '') ?? Number.NaN))
  const home = entry?.[5]
  return {
    uid: id,
    gid,
    additionalGids: [...additional],
    home: home === undefined || home === '' ? '/' : home,
    ...(userName === undefined ? {} : { name: userName }),
  }
}

function splitUser(text: string): { name: string; group: string | undefined } {
  const at = text.indexOf(':')
  const name = at === -1 ? text : text.slice(0, at)
  const group = at === -1 ? '' : text.slice(at + 1)
  return { name: name === '' ? '0' : name, group: group === '' ? undefined : group }
}

/** A name comes before a number: a group may be called `100`. */
function findGroup(groups: readonly (readonly string[])[], text: string): number {
  const named = groups.find(fields => fields[0] === text)
  const id = parseId(named === undefined ? text : (named[2] ?? ''))
  if (id === undefined) throw unknownName('group', text, 'group')
  return checkId(id)
}

function unknownName(kind: 'user' | 'group', name: string, file: string): StrataError {
  return new StrataError(
    'invalidArgument',
    `STRATA_UNKNOWN_${kind === 'user' ? 'USER' : 'GROUP'}`,
    `Cannot find ${kind} "${name}": no matching entries in /etc/${file} of the image`,
  )
}

/** Digits only: `-1`, `1e3`, ` 1` and `` are names. Numbers out of range stay numbers, for checkId to refuse. */
function parseId(text: string): number | undefined {
  return /^\d+$/.test(text) ? Number(text) : undefined
}

/** The rows of passwd(5) or group(5); none where the file is absent or is something else than a regular file. */
function readTable(root: ConfinedRoot, path: string, columns: number): string[][] {
  const text = readBounded(root, path)
  return text
    .split('\n')
    .filter(line => line !== '' && !line.startsWith('#'))
    .map(line => line.replace(/\r$/, '').split(':', columns))
}

function readBounded(root: ConfinedRoot, path: string): string {
  let fd: number
  try {
    fd = root.openFile(path)
  } catch (error) {
    const code = errnoOf(error) ?? ''
    if (['ENOENT', 'ENOTDIR', 'EISDIR', 'EINVAL', 'ELOOP'].includes(code)) return ''
    throw systemError(`read "/${path}" of the image`, error)
  }
  try {
    const { size } = fstatSync(fd)
    if (size > FILE_LIMIT) {
      throw new StrataError(
        'resourceExhausted',
        'STRATA_TOO_LARGE',
        `Cannot read "/${path}" of the image: it has more than ${FILE_LIMIT} bytes`,
      )
    }
    const bytes = Buffer.alloc(size)
    let filled = 0
    while (filled < size) {
      const count = readSync(fd, bytes, filled, size - filled, null)
      if (count === 0) break
      filled += count
    }
    return bytes.toString('utf8', 0, filled)
  } finally {
    close(fd)
  }
}
