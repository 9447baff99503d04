import { randomBytes } from 'node:crypto'
import { lstatSync, readdirSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { errnoOf } from './errors.ts'
import { currentProcess, isAlive, type ProcessIdentity } from './processOwner.ts'

/*
 * What is being written lies beside the place that it will take, as `<place>.partial-<boot>-<pid namespace>-<pid>-<start>-<random>`:
 * who finds it later knows whether somebody still writes it. Numbers are in base 36, since a file name has 255 bytes at most.
 */
const PARTIAL = /^(.+)\.partial-([0-9a-f]{8})-([0-9a-z]*)-([0-9a-z]+)-([0-9a-z]+)-[0-9a-f]{8}$/
const BOOT_DIGITS = 8

/** A name that nobody else uses, for what will take `place`. */
export function partialName(place: string): string {
  const { bootId, pidNamespace, pid, startedAt } = currentProcess()
  const owner = [shortBoot(bootId), shortNamespace(pidNamespace), short(pid), short(startedAt)].join('-')
  return `${place}.partial-${owner}-${randomBytes(4).toString('hex')}`
}

const short = (number: string | number): string => Number(number).toString(36)
const shortBoot = (bootId: string): string => bootId.slice(0, BOOT_DIGITS)
/** `pid:[4026531836]` */
const shortNamespace = (namespace: string = ''): string => short(/\d+/.exec(namespace)?.[0] ?? '')

/** Whose process cannot be seen from here, in another container or on a machine that shares the directory, has so long. */
const UNSEEN_MS = 24 * 60 * 60 * 1000

/**
 * Removes what processes that were killed have left of what they wrote in a directory. What cannot be removed stays: it hinders nobody.
 *
 * @param isMeant whether it is about a place, by the name of the file that it would have become
 */
export async function removeLeftovers(directory: string, isMeant: (place: string) => boolean): Promise<void> {
  for (const name of namesIn(directory)) {
    const [, place, boot, namespace, pid, startedAt] = PARTIAL.exec(name) ?? []
    if (place === undefined || !isMeant(place)) continue
    const path = join(directory, name)
    if (!isSeen(boot, namespace)) {
      const stats = lstatSync(path, { throwIfNoEntry: false })
      if (stats === undefined || stats.mtimeMs > Date.now() - UNSEEN_MS) continue
    } else if (isAlive(ownerOf(pid!, startedAt!))) continue
    await rm(path, { recursive: true, force: true }).catch(() => undefined)
  }
}

function isSeen(boot: string | undefined, namespace: string | undefined): boolean {
  const here = currentProcess()
  return boot === shortBoot(here.bootId) && namespace === shortNamespace(here.pidNamespace)
}

/** One that would be seen from here. */
function ownerOf(pid: string, startedAt: string): ProcessIdentity {
  return { ...currentProcess(), pid: Number.parseInt(pid, 36), startedAt: String(Number.parseInt(startedAt, 36)) }
}

function namesIn(directory: string): readonly string[] {
  try {
    return readdirSync(directory)
  } catch (error) {
    // Without a directory, or one that may be written to and not read.
    if (errnoOf(error) !== undefined) return []
    throw error
  }
}
