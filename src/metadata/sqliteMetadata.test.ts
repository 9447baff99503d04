import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { runProgram } from '../base/index.ts'
import { openMetadata } from './index.ts'

const scratch = mkdtempSync(join(tmpdir(), 'strata-metadata-'))
after(() => rmSync(scratch, { recursive: true, force: true }))

let databases = 0
function newPath(): string {
  databases += 1
  return join(scratch, `${databases}.db`)
}

const STEPS = ['CREATE TABLE things (name TEXT PRIMARY KEY, size INTEGER NOT NULL) STRICT']

/** Runs a text as a module in another process; `metadata` is open in it. */
function childText(path: string, body: string): readonly string[] {
  const door = JSON.stringify(new URL('index.ts', import.meta.url).href)
  return [
    '--input-type=module',
    '-e',
    `import { openMetadata } from ${door}; const metadata = openMetadata(${JSON.stringify(path)}); ${body}`,
  ]
}

test('openMetadata() makes a database that only its owner can read', () => {
  const path = newPath()
  using metadata = openMetadata(path)
  metadata.migrate('things', STEPS)
  for (const suffix of ['', '-wal', '-shm']) assert.equal(statSync(path + suffix).mode & 0o777, 0o600, suffix)
})

test('hostile #66: openMetadata() closes a database that was opened up to others', () => {
  const path = newPath()
  openMetadata(path).close()
  chmodSync(path, 0o644)
  using metadata = openMetadata(path)
  assert.equal(statSync(metadata.path).mode & 0o777, 0o600)
})

test('openMetadata() says what it could not open', () => {
  assert.throws(() => openMetadata(join(scratch, 'absent', 'meta.db')), { kind: 'notFound', message: /^Cannot open metadata "/ })
})

test('openMetadata() uses WAL and full synchronisation, and checks foreign keys', () => {
  using metadata = openMetadata(newPath())
  assert.equal(metadata.get<{ journal_mode: string }>('PRAGMA journal_mode')?.journal_mode, 'wal')
  assert.equal(metadata.get<{ synchronous: number }>('PRAGMA synchronous')?.synchronous, 2)
  assert.equal(metadata.get<{ foreign_keys: number }>('PRAGMA foreign_keys')?.foreign_keys, 1)
  assert.equal(metadata.get<{ timeout: number }>('PRAGMA busy_timeout')?.timeout, 10_000)
})

test('migrate() runs only the steps that the database has not seen', () => {
  const path = newPath()
  {
    using metadata = openMetadata(path)
    metadata.migrate('things', STEPS)
    metadata.run('INSERT INTO things VALUES (?, ?)', 'kept', 1)
  }
  using metadata = openMetadata(path)
  metadata.migrate('other', [])
  metadata.migrate('things', [...STEPS, 'ALTER TABLE things ADD COLUMN label TEXT; CREATE INDEX by_label ON things (label)'])
  metadata.migrate('things', [...STEPS, 'ALTER TABLE things ADD COLUMN label TEXT; CREATE INDEX by_label ON things (label)'])
  assert.deepEqual({ ...metadata.get<object>('SELECT * FROM things') }, { name: 'kept', size: 1, label: null })
})

test('migrate() leaves nothing of a part whose step fails', () => {
  using metadata = openMetadata(newPath())
  assert.throws(() => metadata.migrate('things', [...STEPS, 'CREATE TABEL nonsense']), { kind: 'internal', code: 'STRATA_METADATA_FAILED' })
  assert.deepEqual(metadata.all("SELECT name FROM sqlite_master WHERE name = 'things'"), [])
  metadata.migrate('things', STEPS)
})

test('migrate() refuses records of a newer Strata', () => {
  const path = newPath()
  {
    using metadata = openMetadata(path)
    metadata.migrate('things', [...STEPS, 'SELECT 1'])
  }
  using metadata = openMetadata(path)
  assert.throws(() => metadata.migrate('things', STEPS), {
    kind: 'unsupported',
    code: 'STRATA_METADATA_TOO_NEW',
    message: /version 2.*knows 1$/,
  })
})

test('openMetadata() and migrate() work in eight processes that begin at once', async () => {
  const path = newPath()
  const body = `metadata.migrate('things', ${JSON.stringify(STEPS)}); metadata.run('INSERT INTO things VALUES (?, 0)', String(process.pid))`
  const results = await Promise.all(Array.from({ length: 8 }, () => runProgram(process.execPath, childText(path, body))))
  assert.deepEqual(
    results.map(result => result.stderr),
    results.map(() => ''),
  )
  using metadata = openMetadata(path)
  assert.equal(metadata.get<{ n: number }>('SELECT count(*) AS n FROM things')?.n, 8)
})

test('run() gives the number of changed rows and names a violated constraint by its kind', () => {
  using metadata = openMetadata(newPath())
  metadata.migrate('things', [...STEPS, 'CREATE TABLE parts (thing TEXT NOT NULL REFERENCES things (name)) STRICT'])
  assert.equal(metadata.run('INSERT INTO things VALUES (?, ?), (?, ?)', 'a', 1, 'b', 2), 2)
  assert.throws(() => metadata.run('INSERT INTO things VALUES (?, ?)', 'a', 3), { kind: 'alreadyExists', code: 'STRATA_RECORD_EXISTS' })
  assert.throws(() => metadata.run('INSERT INTO parts VALUES (?)', 'absent'), { kind: 'conflict', code: 'STRATA_RECORD_CONFLICT' })
})

test('transaction() leaves nothing of work that throws', () => {
  using metadata = openMetadata(newPath())
  metadata.migrate('things', STEPS)
  assert.throws(
    () =>
      metadata.transaction(() => {
        metadata.run('INSERT INTO things VALUES (?, ?)', 'a', 1)
        throw new Error('no')
      }),
    { message: 'no' },
  )
  assert.equal(
    metadata.transaction(() => metadata.all('SELECT * FROM things').length),
    0,
  )
})

test('transaction() inside another one can fail alone, and fails with it', () => {
  using metadata = openMetadata(newPath())
  metadata.migrate('things', STEPS)
  const insert = (name: string): unknown => metadata.run('INSERT INTO things VALUES (?, ?)', name, 1)
  const failAfter = (name: string): void =>
    metadata.transaction(() => {
      insert(name)
      throw new Error('no')
    })
  metadata.transaction(() => {
    insert('outer')
    assert.throws(() => failAfter('inner'))
    metadata.transaction(() => insert('second'))
  })
  assert.throws(() =>
    metadata.transaction(() => {
      metadata.transaction(() => insert('third'))
      throw new Error('no')
    }),
  )
  assert.deepEqual(
    metadata.all<{ name: string }>('SELECT name FROM things ORDER BY name').map(row => row.name),
    ['outer', 'second'],
  )
})

test('transaction() refuses asynchronous work and commits nothing of it', () => {
  using metadata = openMetadata(newPath())
  metadata.migrate('things', STEPS)
  assert.throws(
    () =>
      metadata.transaction(async () => {
        metadata.run('INSERT INTO things VALUES (?, ?)', 'a', 1)
      }),
    { code: 'STRATA_ASYNC_TRANSACTION' },
  )
  assert.equal(metadata.all('SELECT * FROM things').length, 0)
})

test('transaction() of several processes come one after the other', async () => {
  const path = newPath()
  using metadata = openMetadata(path)
  metadata.migrate('things', STEPS)
  metadata.run('INSERT INTO things VALUES (?, ?)', 'counter', 0)
  const body = `for (let i = 0; i < 200; i += 1) metadata.transaction(() => {
    const { size } = metadata.get('SELECT size FROM things')
    metadata.run('UPDATE things SET size = ?', size + 1)
  })`
  const results = await Promise.all(Array.from({ length: 4 }, () => runProgram(process.execPath, childText(path, body))))
  assert.deepEqual(new Set(results.map(result => result.stderr)), new Set(['']))
  assert.equal(metadata.get<{ size: number }>('SELECT size FROM things')?.size, 800)
})

test('transaction() says so when another process keeps the lock for more than ten seconds', { timeout: 30_000 }, async () => {
  const path = newPath()
  using metadata = openMetadata(path)
  const body =
    "metadata.transaction(() => { process._rawDebug('held'); Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 60_000) })"
  const child = spawn(process.execPath, childText(path, body), { stdio: ['ignore', 'ignore', 'pipe'] })
  try {
    await once(child.stderr, 'data')
    assert.throws(() => metadata.transaction(() => undefined), { kind: 'unavailable', code: 'STRATA_METADATA_BUSY' })
  } finally {
    child.kill('SIGKILL')
    await once(child, 'exit')
  }
  metadata.transaction(() => undefined)
})

test('hostile #72: a damaged database is dataLoss with a hint, whether its first page is damaged or another', () => {
  const first = newPath()
  writeFileSync(first, 'this is no database, and it is longer than the header of one'.repeat(100))
  assert.throws(() => openMetadata(first), { kind: 'dataLoss', code: 'STRATA_METADATA_CORRUPT', hint: /backup/ })

  const later = newPath()
  {
    using metadata = openMetadata(later)
    metadata.migrate('things', STEPS)
    metadata.transaction(() => {
      for (let i = 0; i < 2000; i += 1) metadata.run('INSERT INTO things VALUES (?, ?)', `thing ${i}`, i)
    })
  }
  // All pages but the first, which holds the schema.
  const bytes = readFileSync(later)
  writeFileSync(later, bytes.fill(0xee, 4096))
  using metadata = openMetadata(later)
  assert.throws(() => metadata.all('SELECT * FROM things'), { kind: 'dataLoss', code: 'STRATA_METADATA_CORRUPT' })

  const cut = newPath()
  writeFileSync(cut, bytes.subarray(0, 8192))
  assert.throws(() => openMetadata(cut), { kind: 'dataLoss', code: 'STRATA_METADATA_CORRUPT' })
})

test('a transaction that was committed survives kill -9 of its process', async () => {
  const path = newPath()
  const body = `metadata.migrate('things', ${JSON.stringify(STEPS)});
    for (let i = 0; ; i += 1) { metadata.run('INSERT INTO things VALUES (?, ?)', String(i), i); process._rawDebug(i) }`
  const child = spawn(process.execPath, childText(path, body), { stdio: ['ignore', 'ignore', 'pipe'] })
  let acknowledged = ''
  child.stderr.on('data', (chunk: Buffer) => {
    acknowledged += chunk.toString()
    if (acknowledged.length > 2000) child.kill('SIGKILL')
  })
  await once(child, 'close')
  using metadata = openMetadata(path)
  const stored = new Set(metadata.all<{ name: string }>('SELECT name FROM things').map(row => row.name))
  const lines = acknowledged.split('\n').slice(0, -1)
  assert.ok(lines.length > 100)
  assert.deepEqual(
    lines.filter(line => !stored.has(line)),
    [],
  )
})
