import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import * as fc from 'fast-check'
import { isStrataError } from '../base/index.ts'
import { encodeTarHeader, TAR_END, type TarHeader, TarParser, type TarLimits, tarPadding } from './index.ts'

function entryOf(fields: Partial<TarHeader>): TarHeader {
  return {
    type: 'file',
    path: 'f',
    linkPath: '',
    mode: 0o644,
    uid: 0,
    gid: 0,
    userName: '',
    groupName: '',
    size: 0,
    modifiedAt: { seconds: 0, nanoseconds: 0 },
    xattrs: new Map(),
    ...fields,
  }
}

function member(fields: Partial<TarHeader>, payload: Buffer = Buffer.alloc(0)): Buffer {
  return Buffer.concat([encodeTarHeader(entryOf({ ...fields, size: payload.length })), payload, tarPadding(payload.length)])
}

const nothing = { entry: () => {}, data: () => {} }

suite('TarParser', () => {
  test('passes payload on without a copy', () => {
    const payload = Buffer.alloc(100_000, 7)
    const archive = Buffer.concat([member({}, payload), TAR_END])
    const seen: Uint8Array[] = []
    new TarParser({ entry: () => {}, data: chunk => void seen.push(chunk) }).write(archive)
    assert.equal(seen.length, 1)
    assert.equal(seen[0]!.buffer, archive.buffer)
    assert.ok(Buffer.from(seen[0]!).equals(payload))
  })

  test('gives every byte to raw or data exactly once, also of archives that it refuses half-way', () => {
    const archive = Buffer.concat([
      member({ path: 'ü'.repeat(80) }, Buffer.alloc(700, 1)),
      member({ type: 'directory', path: 'd/' }),
      TAR_END,
    ])
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 3000 }), fc.integer({ min: 1, max: 2000 }), (trailing, size) => {
        const whole = Buffer.concat([archive, trailing])
        const seen: Uint8Array[] = []
        const parser = new TarParser({ entry: () => {}, data: chunk => void seen.push(chunk), raw: chunk => void seen.push(chunk) })
        for (let at = 0; at < whole.length; at += size) parser.write(whole.subarray(at, at + size))
        parser.end()
        assert.ok(Buffer.concat(seen).equals(whole))
      }),
    )
  })

  test('throws StrataError and nothing else, whatever bytes it gets', () => {
    const seeds = [
      Buffer.concat([
        member({ path: 'é', xattrs: new Map([['user.x', Buffer.from([0, 1])]]) }, Buffer.from('abc')),
        member({ type: 'block', device: { major: 1, minor: 2 } }),
        TAR_END,
      ]),
    ]
    const parseAll = (archive: Uint8Array): void => {
      const parser = new TarParser(nothing)
      parser.write(archive)
      parser.end()
    }
    const onlyStrata = (archive: Uint8Array): void => {
      try {
        parseAll(archive)
      } catch (error) {
        assert.ok(isStrataError(error), String(error))
      }
    }
    fc.assert(fc.property(fc.uint8Array({ maxLength: 2000, size: 'max' }), onlyStrata))
    fc.assert(
      fc.property(
        fc.constantFrom(...seeds),
        fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 4 }),
        fc.boolean(),
        (seed, edits, mend) => {
          const archive = Buffer.from(seed)
          for (const [at, byte] of edits) archive[at % archive.length] = byte
          if (mend) for (let at = 0; at < archive.length; at += 512) mendChecksum(archive.subarray(at, at + 512))
          onlyStrata(archive)
        },
      ),
      { numRuns: 3000 },
    )
  })

  test('rejects an archive that is cut inside a header or a payload, at every position', () => {
    const archive = Buffer.concat([member({ path: 'ü' }, Buffer.alloc(600, 1)), member({ path: 'last' }, Buffer.from('x'))])
    // Between members, behind an extended header, and inside padding nothing is missing for Go either.
    const headers = [0, 512, 1024, 2560]
    const payloads = [[1536, 600], [3072, 1], [512, 11]] as const // prettier-ignore
    for (let cut = 0; cut < archive.length; cut += 1) {
      const inside =
        headers.some(at => cut > at && cut < at + 512 && at !== 512) || payloads.some(([at, size]) => cut >= at && cut < at + size)
      const parser = new TarParser(nothing)
      parser.write(archive.subarray(0, cut))
      if (inside) assert.throws(() => parser.end(), { code: 'STRATA_TAR_TRUNCATED', kind: 'dataLoss' }, `cut at ${cut}`)
      else parser.end()
    }
  })

  test('hostile #18: a PAX header costs no memory before its limit is checked', () => {
    const header = member({ path: 'ü' }).subarray(0, 512)
    header.write('77777777777\0', 124, 'latin1')
    mendChecksum(header)
    refuses(header)
    refuses(member({ path: 'ü'.repeat(600) }), { headerBytes: 1000 })
  })

  test('a name has a limit', () => {
    new TarParser(nothing, { nameBytes: 300 }).write(member({ path: 'ü'.repeat(150) }))
    refuses(member({ path: 'ü'.repeat(151) }), { nameBytes: 300 })
    refuses(member({ type: 'symlink', linkPath: 'x'.repeat(301) }), { nameBytes: 300 })
  })

  test('hostile #20: an archive has a limit on its members', () => {
    const archive = Buffer.concat([member({}), member({}), member({})])
    new TarParser(nothing, { entries: 3 }).write(archive)
    refuses(archive, { entries: 2 })
  })

  test('hostile #21: a file has a limit on its size', () => {
    new TarParser(nothing, { fileBytes: 5 }).write(member({}, Buffer.alloc(5)))
    refuses(member({}, Buffer.alloc(6)), { fileBytes: 5 })
    refuses(encodeTarHeader(entryOf({ size: Number.MAX_SAFE_INTEGER })))
  })

  test('reads 131,000 headers and gigabytes of payload without work per byte', () => {
    const block = Buffer.concat(
      Array.from({ length: 1000 }, (_, at) => member({ path: `usr/lib/some/where/file-${at}.js`, userName: 'root' }, Buffer.alloc(300))),
    )
    const parser = new TarParser(nothing)
    const start = process.cpuUsage()
    for (let times = 0; times < 131; times += 1) parser.write(block)
    parser.write(encodeTarHeader(entryOf({ size: 2 ** 32 })))
    const chunk = Buffer.alloc(2 ** 18)
    for (let times = 0; times < 2 ** 14; times += 1) parser.write(chunk)
    parser.end()
    const { user, system } = process.cpuUsage(start)
    // Takes 0.2 s on the slowest machine so far.
    assert.ok(user + system < 2e6, `${(user + system) / 1e6} s of CPU`)
  })
})

function refuses(archive: Buffer, limits?: TarLimits): void {
  assert.throws(() => new TarParser(nothing, limits).write(archive), { code: 'STRATA_TAR_LIMIT', kind: 'resourceExhausted' })
}

function mendChecksum(block: Buffer): void {
  block.fill(' ', 148, 156)
  const sum = block.reduce((total, byte) => total + byte, 0)
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1')
}
