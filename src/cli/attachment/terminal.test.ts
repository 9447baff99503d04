import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { findProgram, runProgram } from '../../base/index.ts'

const CLI = resolve(import.meta.dirname, '..')

/** A `strata` whose containers say in hexadecimal what is typed, and end at `q` with 7. */
const PROGRAM = `
import { main } from '${pathToFileURL(join(CLI, 'main.ts')).href}'
import { processSurroundings } from '${pathToFileURL(join(CLI, 'surroundings.ts')).href}'
async function run(options, streams) {
  const ended = (async () => {
    for await (const { columns, rows } of streams.resizes) { streams.stdout.write('size ' + columns + 'x' + rows + '\\r\\n'); break }
    streams.stdout.write('ready\\r\\n')
    for await (const chunk of streams.stdin) {
      streams.stdout.write('bare\\n')
      streams.stdout.write('typed ' + Buffer.from(chunk).toString('hex') + '\\r\\n')
      if (chunk.includes(0x71)) break
    }
    return { kind: 'exited', exitCode: 7 }
  })()
  return { id: 'c1', warnings: [], ended }
}
const engine = { run, close: async () => undefined }
process.exit(await main(['run', '-it', 'i'], { ...processSurroundings(), openEngine: async () => engine }))
`

const scriptProgram = await findProgram('script')

test(
  'run -it hands a real terminal’s keys over raw, Ctrl-C too, tells its size, and gives it back',
  { skip: scriptProgram === undefined && 'script(1) is not installed' },
  async () => {
    const directory = await mkdtemp(join(tmpdir(), 'strata-terminal-'))
    try {
      const program = join(directory, 'strata.ts')
      await writeFile(program, PROGRAM)
      const inside = `stty cols 91 rows 17; '${process.execPath}' '${program}'; echo "status $?"; stty -a | grep -o ' icanon'`
      // Keys are typed when the program says that it is ready: what comes earlier is still line-wise.
      const typing = `(until grep -q ready '${directory}/out'; do sleep 0.05; done; printf 'a\\003q'; sleep 0.5)`
      const { stdout } = await runProgram(
        'sh',
        ['-c', `touch '${directory}/out'; ${typing} | script -qefc "$1" '${directory}/out'`, 'sh', inside],
        { timeoutMs: 15_000 },
      )
      assert.match(stdout, /^size 91x17\r\r?\n/)
      assert.match(stdout, /typed 61(?:\r\ntyped )?03/)
      assert.match(stdout, /bare\ntyped/)
      assert.match(stdout, /status 7\r\n icanon/)
    } finally {
      await rm(directory, { recursive: true })
    }
  },
)
