import { readFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { must } from '../programs.ts'

/** Unmounts what engines have left mounted at and below `path`, the last mounted first. */
export async function unmountBelow(path: string): Promise<void> {
  const targets = (await readFile('/proc/self/mountinfo', 'utf8'))
    .split('\n')
    .map(line => line.split(' ')[4] ?? '')
    .filter(target => target === path || target.startsWith(`${path}/`))
  for (const target of targets.toReversed()) await unmountWhenFree(target)
}

/** What cleans up after a container may still be at work when the command that ran it has ended. */
async function unmountWhenFree(target: string): Promise<void> {
  for (let tries = 0; ; tries += 1) {
    try {
      await must('umount', [target])
      return
    } catch (error) {
      if (tries === 50 || !String(error).includes('busy')) throw error
      await sleep(200)
    }
  }
}
