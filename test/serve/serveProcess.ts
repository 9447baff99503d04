import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

const STRATA = fileURLToPath(new URL('../../bin/strata', import.meta.url))

/** `strata serve` as a process of its own. */
export interface ServeProcess {
  /** `127.0.0.1:<port>` */
  readonly address: string
  readonly process: ChildProcess
  /** What it has printed on stderr. */
  errors(): string
  /** Sends a signal; resolves with the exit code when the process has ended. */
  end(signal: NodeJS.Signals): Promise<number | null>
}

/** Starts `strata serve` on any free port; rejects with what it complains about when it does not start. */
export async function startServing(root: string, ...flags: readonly string[]): Promise<ServeProcess> {
  const process = spawn(STRATA, ['--root', root, 'serve', '--listen', ':0', ...flags], { stdio: ['ignore', 'pipe', 'pipe'] })
  const ended = once(process, 'exit') as Promise<[number | null]>
  let errors = ''
  process.stderr.on('data', (chunk: Buffer) => (errors += chunk.toString()))
  const [line] = await Promise.race([once(process.stdout, 'data'), ended.then(() => [''])])
  const [, address] = /^Serving on http:\/\/(127\.0\.0\.1:\d+)\n/.exec(String(line)) ?? []
  if (address === undefined) throw new Error(`Cannot start strata serve: ${String(line)}${errors}`)
  return {
    address,
    process,
    errors: () => errors,
    async end(signal) {
      process.kill(signal)
      const [code] = await ended
      return code
    },
  }
}
