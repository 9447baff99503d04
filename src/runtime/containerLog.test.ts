import assert from 'node:assert/strict'
import { appendFile, mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import * as fc from 'fast-check'
import { type LogOptions, type LogRecord, parseLogLine, readLog } from './containerLog.ts'

async function logPath(t: TestContext, text?: string): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'strata-log-'))
  t.after(() => rm(directory, { recursive: true }))
  if (text !== undefined) await writeFile(join(directory, 'log'), text)
  return join(directory, 'log')
}

async function records(path: string, options: LogOptions = {}): Promise<LogRecord[]> {
  const found: LogRecord[] = []
  for await (const record of readLog(path, options)) found.push(record)
  return found
}

async function texts(path: string, options: LogOptions = {}): Promise<string[]> {
  return (await records(path, options)).map(record => record.bytes.toString())
}

const line = (second: number, text: string, tag = 'F', stream = 'stdout'): string =>
  `2026-11-21T04:00:${String(second).padStart(2, '0')}.000000001+00:00 ${stream} ${tag} ${text}\n`

test('parseLogLine() reads a line of conmon', () => {
  const parsed = parseLogLine(Buffer.from('2026-11-21T06:33:58.070970123+02:00 stderr F  two  spaces'))
  assert.deepEqual(parsed, { at: '2026-11-21T04:33:58.070970123Z', stream: 'stderr', bytes: Buffer.from(' two  spaces\n') })
  assert.deepEqual(parseLogLine(Buffer.from('2026-11-21T04:33:58Z stdout P ')), {
    at: '2026-11-21T04:33:58.000000000Z',
    stream: 'stdout',
    bytes: Buffer.from(''),
  })
  for (const text of ['', 'x', '2026-11-21T04:33:58Z stdin F x', '2026-11-21T04:33:58Z stdout X x', '2026-11-21 stdout F x']) {
    assert.equal(parseLogLine(Buffer.from(text)), undefined)
  }
})

test('readLog() gives back the bytes that were written, also those that are no text', async t => {
  const path = await logPath(t)
  const bytes = Buffer.from([0x00, 0xff, 0xfe, 0x0d, 0x80])
  await writeFile(path, Buffer.concat([Buffer.from('2026-11-21T04:33:58Z stdout F '), bytes, Buffer.from('\n')]))
  const [record] = await records(path)
  assert.deepEqual(record?.bytes, Buffer.concat([bytes, Buffer.from('\n')]))
})

test('readLog() takes an absent file for an empty log', async t => {
  assert.deepEqual(await texts(await logPath(t)), [])
  assert.deepEqual(await texts(await logPath(t), { tail: 3 }), [])
})

test('readLog() leaves out lines that are not conmon’s and an unfinished last one', async t => {
  const path = await logPath(t, `garbage\n${line(1, 'a')}${'z'.repeat(100)}\n${line(2, 'b')}2026-11-21T04:00:03Z stdout F unfinis`)
  assert.deepEqual(await texts(path), ['a\n', 'b\n'])
})

test('readLog() keeps to since and until', async t => {
  const path = await logPath(t, [1, 2, 3, 4].map(second => line(second, String(second))).join(''))
  const at = (second: number): Date => new Date(`2026-11-21T04:00:0${second}Z`)
  assert.deepEqual(await texts(path, { since: at(2) }), ['2\n', '3\n', '4\n'])
  assert.deepEqual(await texts(path, { since: at(2), until: at(3) }), ['2\n', '3\n'])
})

test('readLog() counts the parts of one line as one for tail', async t => {
  const path = await logPath(t, line(1, 'a') + line(2, 'b1', 'P') + line(2, 'b2', 'P') + line(2, 'b3') + line(3, 'c'))
  assert.deepEqual(await texts(path, { tail: 1 }), ['c\n'])
  assert.deepEqual(await texts(path, { tail: 2 }), ['b1', 'b2', 'b3\n', 'c\n'])
  assert.deepEqual(await texts(path, { tail: 0 }), [])
  assert.deepEqual(await texts(path, { tail: 99 }), ['a\n', 'b1', 'b2', 'b3\n', 'c\n'])
})

test('readLog() with tail gives the end of what it gives without, for any log', async t => {
  const path = await logPath(t)
  const word = fc.string({ unit: 'grapheme-ascii', maxLength: 200 }).filter(text => !text.includes('\n'))
  await fc.assert(
    fc.asyncProperty(fc.array(word, { maxLength: 30 }), fc.nat(35), async (words, tail) => {
      await writeFile(path, words.map(text => line(1, text)).join(''))
      const all = await texts(path)
      assert.deepEqual(await texts(path, { tail }), tail === 0 ? [] : all.slice(-tail))
    }),
    { numRuns: 50 },
  )
})

test('readLog() with tail reads a log that is longer than one block', async t => {
  const path = await logPath(t, Array.from({ length: 3000 }, (_, index) => line(index % 60, `line ${index} ${'x'.repeat(100)}`)).join(''))
  assert.equal((await texts(path, { tail: 1000 })).length, 1000)
  assert.match((await texts(path, { tail: 1000 }))[0] ?? '', /^line 2000 /)
})

test('readLog() follows what is written later, also by another name, until the end is said', async t => {
  const path = await logPath(t, line(1, 'a'))
  let ended = false
  const seen: string[] = []
  for await (const record of readLog(path, { follow: true, isEnded: async () => ended })) {
    seen.push(record.bytes.toString())
    if (seen.length === 1) await appendFile(path, line(2, 'b'))
    if (seen.length === 2) {
      // conmon starts a log afresh that has reached its limit.
      await writeFile(`${path}.tmp`, line(3, 'c'))
      await rename(`${path}.tmp`, path)
    }
    if (seen.length === 3) {
      await appendFile(path, line(4, 'd'))
      ended = true
    }
  }
  assert.deepEqual(seen, ['a\n', 'b\n', 'c\n', 'd\n'])
})

test('readLog() follows a log that somebody emptied from its new beginning', async t => {
  const path = await logPath(t, line(1, 'a') + line(2, 'b'))
  const stop = new AbortController()
  const seen: string[] = []
  for await (const record of readLog(path, { follow: true, signal: stop.signal })) {
    seen.push(record.bytes.toString())
    if (seen.length === 2) await writeFile(path, line(3, 'c'))
    if (seen.length === 3) stop.abort()
  }
  assert.deepEqual(seen, ['a\n', 'b\n', 'c\n'])
})

test('readLog() follows a log that is removed to what was written last', async t => {
  const path = await logPath(t, line(1, 'a'))
  let ended = false
  const seen: string[] = []
  for await (const record of readLog(path, { follow: true, isEnded: async () => ended })) {
    seen.push(record.bytes.toString())
    if (seen.length > 1) continue
    await appendFile(path, line(2, 'b'))
    await rm(path)
    ended = true
  }
  assert.deepEqual(seen, ['a\n', 'b\n'])
})

test('readLog() stops following on its signal', async t => {
  const path = await logPath(t, line(1, 'a'))
  const stop = new AbortController()
  const seen: string[] = []
  for await (const record of readLog(path, { follow: true, signal: stop.signal })) {
    seen.push(record.bytes.toString())
    setTimeout(() => stop.abort(), 20)
  }
  assert.deepEqual(seen, ['a\n'])
})
