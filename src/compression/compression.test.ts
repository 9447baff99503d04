import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { suite, test } from 'node:test'
import { constants, gzipSync, zstdCompressSync } from 'node:zlib'
import * as fc from 'fast-check'
import { type ByteStream, findProgram, isStrataError, readAtMost, streamOf } from '../base/index.ts'
import { isalInflater } from '../host/index.ts'
import { compress, decompress, type DecompressLimits, detectCompression, type Inflater } from './index.ts'

async function* cut(bytes: Uint8Array, size: number): ByteStream {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size)
}

interface UnpackOptions {
  readonly limits?: DecompressLimits
  readonly chunkBytes?: number
}

async function unpackBy(inflater: Inflater | undefined, bytes: Uint8Array, options: UnpackOptions = {}): Promise<Buffer> {
  const { limits = {}, chunkBytes = 65_536 } = options
  const chunks: Buffer[] = []
  // What comes out is lent.
  for await (const chunk of decompress(cut(bytes, chunkBytes), { limits, inflater })) chunks.push(Buffer.from(chunk))
  return Buffer.concat(chunks)
}

function pack(bytes: Uint8Array, format: 'gzip' | 'zstd' | 'none', options: { level?: number; chunkBytes?: number } = {}): Promise<Buffer> {
  return readAtMost(
    compress(cut(bytes, options.chunkBytes ?? 65_536), format, options.level === undefined ? {} : { level: options.level }),
    2 ** 31,
  )
}

/** Runs a real compressor; undefined where it is not installed. */
async function tool(program: string, args: readonly string[], input: Uint8Array): Promise<Buffer | undefined> {
  if ((await findProgram(program)) === undefined) return undefined
  const result = spawnSync(program, args, { input, maxBuffer: 2 ** 30 })
  assert.equal(result.status, 0, String(result.stderr))
  return result.stdout
}

/** Deterministic bytes that compress a little. */
function sample(size: number): Buffer {
  const bytes = Buffer.alloc(size)
  let state = 1
  for (let at = 0; at < size; at += 1) {
    state = (state * 1_103_515_245 + 12_345) & 0x7fffffff
    bytes[at] = at % 5000 < 2500 ? 0x61 + (state >> 28) : state >> 16
  }
  return bytes
}

/** Runs of every length, long ones too: what bzip2's first stage and repeated blocks are about. */
const runs = Buffer.concat(Array.from({ length: 600 }, (_, at) => Buffer.alloc(at, at)))
const data = Buffer.concat([sample(300_000), Buffer.alloc(1_000_000), runs, sample(400_000)])

const skippable = (payload: Buffer, magic = 0x184d2a50): Buffer => {
  const header = Buffer.alloc(8)
  header.writeUInt32LE(magic, 0)
  header.writeUInt32LE(payload.length, 4)
  return Buffer.concat([header, payload])
}

/** A small stream of each format. */
async function small(format: string): Promise<Buffer | undefined> {
  const text = Buffer.from('hello, hello, hello')
  if (format === 'gzip') return gzipSync(text)
  if (format === 'zstd') return zstdCompressSync(text, { params: { [constants.ZSTD_c_checksumFlag]: 1 } })
  return tool(format, ['-c'], text)
}

const TOOLS: readonly (readonly [program: string, ...args: string[]])[] = [
  ['gzip', '-c'],
  ['gzip', '-1', '-c'],
  ['zstd', '-c', '-q'],
  ['zstd', '-19', '-c', '-q'],
  ['zstd', '--long=27', '-c', '-q'],
  ['xz', '-c'],
  ['xz', '-9e', '-c'],
  ['xz', '-c', '--check=none'],
  ['xz', '-c', '--check=crc32'],
  ['xz', '-c', '-T2', '--block-size=200KiB'],
  ['bzip2', '-c'],
  ['bzip2', '-1', '-c'],
]

const INFLATERS: Readonly<Record<string, Inflater | undefined>> = { 'node:zlib': undefined, 'ISA-L': isalInflater() }

for (const [name, inflater] of Object.entries(INFLATERS)) {
  const absent = name !== 'node:zlib' && inflater === undefined ? `${name} is not installed` : false
  suite(`decompress() with ${name}`, { skip: absent }, () => {
    const unpack = (bytes: Uint8Array, options?: UnpackOptions): Promise<Buffer> => unpackBy(inflater, bytes, options)

    for (const [program, ...args] of TOOLS) {
      test(`reads what \`${program} ${args.join(' ')}\` writes: one stream, several, and with something behind it`, async t => {
        const packed = await tool(program, args, data)
        if (packed === undefined) return t.skip(`${program} is not installed`)
        const other = (await tool(program, args, Buffer.from('other')))!
        const nothing = (await tool(program, args, Buffer.alloc(0)))!
        assert.equal(detectCompression(packed), program)
        for (const chunkBytes of [packed.length, 4999]) {
          assert.ok((await unpack(packed, { chunkBytes })).equals(data))
          assert.ok(
            (await unpack(Buffer.concat([other, packed, nothing, other]), { chunkBytes })).equals(
              Buffer.concat([Buffer.from('other'), data, Buffer.from('other')]),
            ),
          )
        }
        for (const behind of [
          Buffer.alloc(8),
          Buffer.alloc(100_000),
          Buffer.from('garbage'),
          Buffer.from('BZ'.repeat(400)),
          Buffer.from([0xff]),
        ]) {
          for (const chunkBytes of [2 ** 30, 11]) {
            assert.equal((await unpack(Buffer.concat([other, behind]), { chunkBytes })).toString(), 'other')
          }
        }
        assert.equal((await unpack(nothing)).length, 0)
      })
    }

    test('passes plain bytes on, also short ones and none', async () => {
      await fc.assert(
        fc.asyncProperty(fc.uint8Array({ maxLength: 600 }), fc.integer({ min: 1, max: 700 }), async (bytes, chunkBytes) => {
          fc.pre(detectCompression(bytes) === 'none')
          assert.ok((await unpack(bytes, { chunkBytes })).equals(bytes))
        }),
      )
      assert.equal((await unpack(Buffer.alloc(0))).length, 0)
    })

    test('undoes compress() for any bytes, cut in any way', async () => {
      await fc.assert(
        fc.asyncProperty(
          fc.oneof(fc.uint8Array({ maxLength: 5000, size: 'max' }), fc.constantFrom(data.subarray(0, 400_000), runs)),
          fc.constantFrom('gzip' as const, 'zstd' as const),
          fc.integer({ min: 1, max: 300_000 }),
          fc.integer({ min: 1, max: 300_000 }),
          async (bytes, format, cutIn, cutOut) => {
            const packed = await pack(bytes, format, { chunkBytes: Math.max(cutIn, bytes.length >> 8) })
            assert.equal(detectCompression(packed), format)
            assert.ok((await unpack(packed, { chunkBytes: Math.max(cutOut, packed.length >> 8) })).equals(bytes))
          },
        ),
        { numRuns: 150 },
      )
    })

    for (const format of ['gzip', 'zstd', 'xz', 'bzip2']) {
      test(`rejects ${format} that is cut at any position, or damaged`, async t => {
        const packed = await small(format)
        if (packed === undefined) return t.skip(`${format} is not installed`)
        assert.equal((await unpack(packed)).toString(), 'hello, hello, hello')
        for (const chunkBytes of [1000, 1]) {
          // Fewer bytes than the signature are not known to be compressed.
          for (let length = 6; length < packed.length; length += 1) {
            await assert.rejects(
              unpack(packed.subarray(0, length), { chunkBytes }),
              { code: 'STRATA_COMPRESSED_TRUNCATED', kind: 'dataLoss' },
              `cut at ${length}`,
            )
          }
          const twice = Buffer.concat([packed, packed])
          for (let length = packed.length + 1; length < twice.length; length += 1) {
            await assert.rejects(
              unpack(twice.subarray(0, length), { chunkBytes }),
              { code: 'STRATA_COMPRESSED_TRUNCATED' },
              `second stream cut at ${length}`,
            )
          }
        }
      })

      test(`rejects damaged ${format} with a StrataError or reads it right, but never otherwise`, async t => {
        const packed = await small(format)
        if (packed === undefined) return t.skip(`${format} is not installed`)
        let rejected = 0
        for (let bit = 0; bit < packed.length * 8; bit += 1) {
          const damaged: Buffer = Buffer.from(packed)
          damaged.writeUInt8(damaged.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3)
          if (detectCompression(damaged) !== format) continue
          try {
            // A bit in the header that means nothing, such as gzip's time.
            assert.equal((await unpack(damaged)).toString(), 'hello, hello, hello', `bit ${bit}`)
          } catch (error) {
            assert.ok(isStrataError(error), String(error))
            rejected += 1
          }
        }
        assert.ok(rejected > packed.length * 4, `${rejected} of ${packed.length * 8} single-bit faults are seen`)
      })
    }

    test('tells a reader that is slower than the decoder that what follows is damaged', async () => {
      const packed = gzipSync(sample(3_000_000))
      packed.fill(0xff, packed.length - 200_000, packed.length - 100_000)
      const reading = (async () => {
        for await (const _ of decompress(cut(packed, 65_536), { inflater })) await new Promise(resolve => setTimeout(resolve, 20))
      })()
      await assert.rejects(reading, { kind: 'dataLoss' })
    })

    test('passes on what its source rejects with', async () => {
      const fault = new Error('the network is gone')
      for (const packed of [gzipSync(data), zstdCompressSync(data), data]) {
        async function* source(): ByteStream {
          yield packed.subarray(0, 5000)
          throw fault
        }
        await assert.rejects(readAtMost(decompress(source(), { inflater }), 2 ** 30), error => error === fault)
      }
    })

    test('closes its source when the reader stops, and reads it to the end when it does not', async () => {
      for (const packed of [gzipSync(data), zstdCompressSync(data), data]) {
        let closed = 0
        async function* source(): ByteStream {
          try {
            yield* cut(packed, 1000)
          } finally {
            closed += 1
          }
        }
        for await (const _ of decompress(source(), { inflater })) break
        assert.equal(closed, 1)
        let size = 0
        async function* counted(): ByteStream {
          for await (const chunk of cut(Buffer.concat([packed, Buffer.alloc(300_000)]), 1000)) {
            size += chunk.length
            yield chunk
          }
        }
        for await (const _ of decompress(counted(), { inflater })) void _
        assert.equal(size, packed.length + 300_000)
      }
    })

    test('reads gzip members with extra fields, names, comments and header checksums', async () => {
      const plain = gzipSync('x')
      const header = Buffer.from(plain.subarray(0, 10))
      header[3] = 2 | 4 | 8 | 16
      const fields = Buffer.concat([Buffer.from([3, 0, 1, 2, 3]), Buffer.from('name\0comment\0'), Buffer.from([0, 0])])
      const packed = Buffer.concat([header, fields, plain.subarray(10)])
      for (const chunkBytes of [1, 1000]) assert.equal((await unpack(packed, { chunkBytes })).toString(), 'x')
      for (let length = 3; length < packed.length; length += 1)
        await assert.rejects(unpack(packed.subarray(0, length)), { code: 'STRATA_COMPRESSED_TRUNCATED' })
    })

    test('reads a gzip layer of many small members', async () => {
      const member = gzipSync('x'.repeat(100))
      const { length } = await unpack(Buffer.concat(Array.from({ length: 20_000 }, () => member)))
      assert.equal(length, 2_000_000)
    })

    test('hostile #18: a bomb stops at the limits, and costs bounded memory without them', async () => {
      const zeros = Buffer.alloc(2 ** 20)
      async function* source(): ByteStream {
        for (let times = 0; times < 256; times += 1) yield zeros
      }
      const bomb = await readAtMost(compress(source(), 'gzip'), 2 ** 22)
      const limit = { code: 'STRATA_DECOMPRESSION_LIMIT', kind: 'resourceExhausted' }
      await assert.rejects(unpack(bomb, { limits: { outputBytes: 1_000_000 } }), limit)
      await assert.rejects(unpack(bomb, { limits: { ratio: 100 } }), limit)
      let size = 0
      const before = process.memoryUsage().rss
      let most = before
      for await (const chunk of decompress(cut(bomb, 65_536), { inflater })) {
        size += chunk.length
        most = Math.max(most, process.memoryUsage().rss)
      }
      assert.equal(size, 2 ** 28)
      assert.ok(most - before < 150 * 2 ** 20, `${(most - before) / 2 ** 20} MiB`)
    })

    test('hostile #19: zstd windows have a cap', async t => {
      const limit = { code: 'STRATA_DECOMPRESSION_LIMIT', kind: 'resourceExhausted' }
      // A frame header only: window descriptor 0xff asks for 3.75 TiB, 0x88 for 128 MiB, 0x90 for 256 MiB.
      const frame = (window: number): Buffer => Buffer.concat([Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0x00, window]), Buffer.from([1, 0, 0])])
      assert.equal((await unpack(frame(0x88))).length, 0)
      for (const window of [0x89, 0x90, 0xff]) await assert.rejects(unpack(frame(window)), limit)
      await assert.rejects(unpack(frame(0x50), { limits: { windowBytes: 2 ** 19 } }), limit)
      // A single segment is kept whole: 8 EiB.
      const segment = Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0xe0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 1, 0, 0])
      await assert.rejects(unpack(segment), limit)
      const long = await tool('zstd', ['-c', '-q', '--ultra', '--long=31', '--no-content-size'], data)
      if (long === undefined) return t.skip('zstd is not installed')
      await assert.rejects(unpack(long), limit)
    })

    test('hostile #19: zstd frames may be many, tiny, empty and skippable', async () => {
      const tiny = zstdCompressSync('a')
      const empty = zstdCompressSync('')
      const frames = Buffer.concat([
        skippable(Buffer.alloc(0)),
        ...Array.from({ length: 3000 }, () => Buffer.concat([tiny, empty, skippable(Buffer.alloc(3, 0x28), 0x184d2a5f)])),
      ])
      assert.equal(detectCompression(frames), 'zstd')
      for (const chunkBytes of [frames.length, 13]) assert.equal((await unpack(frames, { chunkBytes })).toString(), 'a'.repeat(3000))
      const cutShort = skippable(Buffer.alloc(100)).subarray(0, 50)
      await assert.rejects(unpack(Buffer.concat([tiny, cutShort])), { code: 'STRATA_COMPRESSED_TRUNCATED' })
    })

    test('hostile #19: xz windows have a cap', async t => {
      const packed = await tool('xz', ['-c', '--lzma2=dict=256MiB'], Buffer.from('x'))
      if (packed === undefined) return t.skip('xz is not installed')
      await assert.rejects(unpack(packed), { code: 'STRATA_DECOMPRESSION_LIMIT' })
    })

    test('a short xz stream may be left after its first chunk, and the next one is read', async t => {
      const packed = await tool('xz', ['-c'], Buffer.from('short'))
      if (packed === undefined) return t.skip('xz is not installed')
      for (let n = 0; n < 3; n += 1) {
        for await (const chunk of decompress(streamOf(packed))) {
          assert.equal(Buffer.from(chunk).toString(), 'short')
          break
        }
      }
      assert.equal((await unpack(packed)).toString(), 'short')
    })

    test('says which xz it cannot read', async t => {
      const packed = await tool('xz', ['-c', '--check=sha256'], Buffer.from('x'))
      if (packed === undefined) return t.skip('xz is not installed')
      await assert.rejects(unpack(packed), { kind: 'unsupported', code: 'STRATA_COMPRESSION_UNSUPPORTED' })
      const filtered = await tool('xz', ['-c', '--x86', '--lzma2'], Buffer.from('x'))
      await assert.rejects(unpack(filtered!), { kind: 'unsupported' })
    })

    test('reads several xz streams at once', async t => {
      const packed = await tool('xz', ['-c'], data)
      if (packed === undefined) return t.skip('xz is not installed')
      for await (const _ of decompress(cut(packed, 1000))) break
      await assert.rejects(unpack(packed.subarray(0, 5000)))
      const all = await Promise.all([unpack(packed), unpack(packed), unpack(packed)])
      assert.ok(all.every(bytes => bytes.equals(data)))
    })

    test('hostile #28: decoders run in this process, whatever is on the PATH', async t => {
      const packed = await tool('xz', ['-c'], data)
      if (packed === undefined) return t.skip('xz is not installed')
      const path = process.env['PATH']
      process.env['PATH'] = ''
      try {
        assert.ok((await unpack(packed)).equals(data))
      } finally {
        process.env['PATH'] = path
      }
    })
  })
}

suite('compress()', () => {
  for (const format of ['gzip', 'zstd'] as const) {
    test(`gives the same ${format} however its input is cut, and the ${format} command reads it`, async t => {
      const packed = await pack(data, format)
      for (const chunkBytes of [data.length, 100_000, 1013]) assert.ok((await pack(data, format, { chunkBytes })).equals(packed))
      assert.ok(packed.length < data.length / 2)
      const read = await tool(format, ['-dc'], packed)
      if (read === undefined) return t.skip(`${format} is not installed`)
      assert.ok(read.equals(data))
      assert.equal((await tool(format, ['-dc'], await pack(Buffer.alloc(0), format)))!.length, 0)
    })

    test(`takes levels of ${format}`, async () => {
      const fast = await pack(data, format, { level: 1 })
      const good = await pack(data, format, { level: 9 })
      assert.ok(good.length < fast.length)
      assert.ok((await unpackBy(undefined, fast)).equals(data))
    })

    test(`rejects with what the source of ${format} rejects with`, async () => {
      const fault = new Error('the disk is gone')
      async function* source(): ByteStream {
        yield data
        throw fault
      }
      await assert.rejects(readAtMost(compress(source(), format), 2 ** 30), error => error === fault)
    })
  }

  test('writes no name and no time into gzip', async () => {
    assert.deepEqual([...(await pack(data, 'gzip')).subarray(0, 10)], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff])
  })

  test('passes bytes on for none', async () => {
    assert.ok((await readAtMost(compress(streamOf(data), 'none'), data.length)).equals(data))
  })
})

suite('detectCompression()', () => {
  test('knows the signatures, and is not fooled by a tar whose first file is called BZh9', () => {
    assert.equal(detectCompression(Buffer.from('BZh9.txt\0\0')), 'none')
    assert.equal(detectCompression(Buffer.from('BZh91AY&SY')), 'bzip2')
    assert.equal(detectCompression(Buffer.from([0x1f, 0x8b])), 'none')
    assert.equal(detectCompression(Buffer.from([0x1f, 0x8b, 8])), 'gzip')
    assert.equal(detectCompression(Buffer.from([0x5a, 0x2a, 0x4d, 0x18])), 'zstd')
    assert.equal(detectCompression(Buffer.alloc(0)), 'none')
  })
})
