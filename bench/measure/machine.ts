import { cpus, loadavg, release, totalmem } from 'node:os'
import { mkdir } from 'node:fs/promises'
import { BENCH_CACHE } from '../places.ts'
import { must } from '../programs.ts'

/** What a number means nothing without. */
export interface Machine {
  readonly kernel: string
  readonly cpu: string
  readonly cores: number
  readonly memoryBytes: number
  /** File system and device below the loop devices. */
  readonly disk: string
  readonly loadAtStart: number
}

export async function describeMachine(): Promise<Machine> {
  await mkdir(BENCH_CACHE, { recursive: true })
  const [disk] = (await must('findmnt', ['-n', '-o', 'FSTYPE,SOURCE', '-T', BENCH_CACHE])).split('\n')
  return {
    kernel: `Linux ${release()} ${process.arch}`,
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: cpus().length,
    memoryBytes: totalmem(),
    disk: disk?.trim().replaceAll(/\s+/g, ' ') ?? 'unknown',
    loadAtStart: loadavg()[0] ?? 0,
  }
}
