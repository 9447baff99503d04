import { readFile } from 'node:fs/promises'
import { must } from '../programs.ts'

/** Unmounts what engines have left mounted at and below `path`, the last mounted first. */
export async function unmountBelow(path: string): Promise<void> {
  const targets = (await readFile('/proc/self/mountinfo', 'utf8'))
    .split('\n')
    .map(line => line.split(' ')[4] ?? '')
    .filter(target => target === path || target.startsWith(`${path}/`))
  for (const target of targets.toReversed()) await must('umount', [target])
}
