import { type FileHandle, open } from 'node:fs/promises'
import { StrataError, systemError } from '../base/index.ts'
import { type TarEntry, TarParser } from '../tar/index.ts'
import { type Extent, ImageFiles, tooMuch } from './imageFiles.ts'

interface Member {
  readonly type: TarEntry['type']
  readonly linkPath: string
  readonly extent: Extent
}

/** How far a chain of links inside an archive is followed. */
const MAX_LINKS = 40
/** What an archive may cost in memory: members, and bytes of their names. */
const MAX_MEMBERS = 50_000
const MAX_NAME_BYTES = 32 * 1024 * 1024

/**
 * A plain tar on disk that is looked up by name: headers are read once, payloads are skipped. Links
 * between members are followed, inside the archive only: old docker archives have `layer.tar`s that
 * are symlinks to another layer's.
 */
export class ArchiveFile extends ImageFiles {
  readonly #members: ReadonlyMap<string, Member>

  private constructor(name: string, members: ReadonlyMap<string, Member>) {
    super(`archive "${name}"`)
    this.#members = members
  }

  /** Rejects with `dataLoss` for a truncated archive and `invalidArgument` for a file that is none. @param name what messages call it */
  static async open(path: string, name: string = path): Promise<ArchiveFile> {
    try {
      await using file = await open(path, 'r')
      return new ArchiveFile(name, await scan(file, { path, name }))
    } catch (error) {
      throw systemError(`read archive "${name}"`, error)
    }
  }

  has(name: string): boolean {
    return this.#find(name) !== undefined
  }

  protected find(name: string): Extent | undefined {
    const member = this.#find(name)
    return member?.type === 'file' ? member.extent : undefined
  }

  #find(name: string): Member | undefined {
    let wanted = normalize(name, '')
    for (let links = 0; links < MAX_LINKS && wanted !== undefined; links += 1) {
      const member = this.#members.get(wanted)
      if (member === undefined) return undefined
      if (member.type === 'symlink') wanted = normalize(member.linkPath, wanted)
      else if (member.type === 'hardlink') wanted = normalize(member.linkPath, '')
      else return member
    }
    return undefined
  }
}

/** The name of a member as the archive's map has it, seen from the member `from`; undefined for one that leaves the archive. */
function normalize(name: string, from: string): string | undefined {
  const parts = name.startsWith('/') ? [] : from.split('/').slice(0, -1)
  for (const part of name.split('/')) {
    if (part === '' || part === '.') continue
    if (part !== '..') parts.push(part)
    else if (parts.pop() === undefined) return undefined
  }
  return parts.join('/')
}

async function scan(file: FileHandle, archive: { readonly path: string; readonly name: string }): Promise<ReadonlyMap<string, Member>> {
  const { size } = await file.stat()
  const members = new Map<string, Member>()
  let nameBytes = 0
  for (let at = 0; at < size;) {
    const entry = await readHeaders(file, at)
    if (entry === undefined) break
    const start = at + entry.dataOffset
    const end = start + entry.storedSize
    if (end > size) {
      throw new StrataError(
        'dataLoss',
        'STRATA_ARCHIVE_TRUNCATED',
        `Cannot read archive "${archive.name}": it ends in the middle of "${entry.path}"`,
        {
          hint: 'Make or copy the archive again.',
        },
      )
    }
    const name = normalize(entry.path, '')
    nameBytes += entry.path.length + entry.linkPath.length
    if (members.size === MAX_MEMBERS) throw tooMuch(`archive "${archive.name}"`, `it has more than ${MAX_MEMBERS} members`)
    if (nameBytes > MAX_NAME_BYTES) throw tooMuch(`archive "${archive.name}"`, `its names have more than ${MAX_NAME_BYTES} bytes`)
    if (name !== undefined) members.set(name, { type: entry.type, linkPath: entry.linkPath, extent: { path: archive.path, start, end } })
    at = Math.ceil(end / BLOCK) * BLOCK
  }
  return members
}

const BLOCK = 512
const HEADER_READ = 16 * 1024

/** The next member from `offset` on, with offsets relative to it; undefined at the end marker. */
async function readHeaders(file: FileHandle, offset: number): Promise<TarEntry | undefined> {
  const found: TarEntry[] = []
  const parser = new TarParser({ entry: entry => found.push(entry), data: () => undefined })
  for (let at = offset; ; at += HEADER_READ) {
    const buffer = Buffer.alloc(HEADER_READ)
    const { bytesRead } = await file.read(buffer, 0, HEADER_READ, at)
    // The parser knows what a missing end marker means.
    if (bytesRead === 0) parser.end()
    const isEnd = at === offset && buffer.subarray(0, BLOCK).every(byte => byte === 0)
    if (bytesRead === 0 || isEnd) return undefined
    parser.write(buffer.subarray(0, bytesRead))
    if (found[0] !== undefined) return found[0]
  }
}
