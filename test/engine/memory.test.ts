import assert from 'node:assert/strict'
import { randomFillSync } from 'node:crypto'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { after, before, describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { encodeTarHeader, TAR_END } from '../../src/tar/index.ts'
import { makeAuthority, makeCertificate } from '../support/certificates.ts'
import { startRegistry } from '../support/loopbackRegistry.ts'

const START = fileURLToPath(new URL('../../src/cli/start.ts', import.meta.url))
const isRoot = process.getuid?.() === 0

/** Resident memory in MB that no verb may pass, whatever the size of the image. From the sources: what is built takes some 40 MB less. */
const MOST_MB = 225
const FILES = 2_000
const FILE_BYTES = 100 * 1024

/** A root filesystem of 200 MB that hardly compresses. */
function* rootfs(): Generator<Buffer> {
  const content = Buffer.alloc(FILE_BYTES)
  const common = { linkPath: '', mode: 0o644, uid: 0, gid: 0, userName: '', groupName: '', xattrs: new Map() }
  for (let file = 0; file < FILES; file += 1) {
    const modifiedAt = { seconds: 1_700_000_000, nanoseconds: 0 }
    yield encodeTarHeader({ ...common, type: 'file', path: `d${file % 50}/f${file}`, size: FILE_BYTES, modifiedAt })
    yield Buffer.from(randomFillSync(content))
  }
  yield TAR_END
}

/** Runs the program; gives the most memory that it held, in MB. */
async function peakOf(
  args: readonly string[],
  { input, env = {} }: { readonly input?: Readable; readonly env?: Record<string, string> } = {},
): Promise<number> {
  const report = "process.on('exit', () => console.error('peak', process.resourceUsage().maxRSS))"
  const program = spawn(process.execPath, ['--import', `data:text/javascript,${encodeURIComponent(report)}`, START, ...args], {
    stdio: ['pipe', 'ignore', 'pipe'],
    env: { ...process.env, ...env },
  })
  const said = Array.fromAsync(program.stderr.setEncoding('utf8') as AsyncIterable<string>)
  if (input === undefined) program.stdin.end()
  else await pipeline(input, program.stdin)
  const [code] = (await once(program, 'exit')) as [number]
  const text = (await said).join('')
  assert.equal(code, 0, text)
  return Number(/^peak (\d+)$/m.exec(text)![1]) / 1024
}

describe('memory does not grow with the image', { skip: isRoot ? false : 'overlay2 needs root' }, () => {
  let scratch: string
  before(async () => {
    scratch = await mkdtemp(join(tmpdir(), 'strata-memory-'))
  })
  after(() => rm(scratch, { recursive: true, force: true }))

  test(`import from stdin, push, copy and pull of 200 MB by TLS each hold less than ${MOST_MB} MB`, async () => {
    const authority = await makeAuthority(scratch, 'authority')
    const tls = await makeCertificate(scratch, 'server', { authority, names: ['IP:127.0.0.1'] })
    await using registry = await startRegistry({ tls })
    await using other = await startRegistry({ tls })
    const env = { SSL_CERT_FILE: authority.certificate }
    const reference = `${registry.address}/memory:latest`
    const [first, second] = [join(scratch, 'first'), join(scratch, 'second')]
    const peaks = {
      import: await peakOf(['--root', first, 'import', '-', reference], { input: Readable.from(rootfs()) }),
      push: await peakOf(['--root', first, 'push', reference], { env }),
      copy: await peakOf(['--root', second, 'copy', `docker://${reference}`, `docker://${other.address}/memory:latest`], { env }),
      'copy to a layout': await peakOf(['--root', second, 'copy', `docker://${reference}`, `oci:${join(scratch, 'layout')}`], { env }),
      pull: await peakOf(['--root', second, 'pull', reference], { env }),
    }
    for (const [verb, peak] of Object.entries(peaks))
      assert.ok(peak < MOST_MB, `${verb} holds ${peak.toFixed()} MB: ${JSON.stringify(peaks)}`)
    // A mark that nothing comes near holds nothing.
    assert.ok(Math.max(...Object.values(peaks)) > MOST_MB / 2, JSON.stringify(peaks))
  })
})
