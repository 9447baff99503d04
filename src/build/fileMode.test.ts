import assert from 'node:assert/strict'
import { test } from 'node:test'
import { mkdtempSync, chmodSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { spawnSync } from 'node:child_process'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as fc from 'fast-check'
import { parseMode } from './fileMode.ts'

test('parseMode() changes bits as chmod(1) does', t => {
  const directory = mkdtempSync(join(tmpdir(), 'strata-mode-'))
  t.after(() => rmSync(directory, { recursive: true }))
  const path = join(directory, 'f')
  writeFileSync(path, '')
  const clause = fc
    .tuple(
      fc.constantFrom('u', 'g', 'o', 'a', 'ug', 'go', 'ugo'),
      fc.constantFrom('+', '-', '='),
      fc.constantFrom('r', 'w', 'x', 'X', 'rw', 'rwx', 'rX', 's', 't', 'u', 'g', 'o', ''),
    )
    .map(parts => parts.join(''))
  fc.assert(
    fc.property(fc.array(clause, { minLength: 1, maxLength: 3 }), fc.nat(0o7777), (clauses, mode) => {
      chmodSync(path, mode)
      assert.equal(spawnSync('chmod', [clauses.join(','), path]).status, 0)
      assert.equal(parseMode(clauses.join(','))(mode, false).toString(8), (statSync(path).mode & 0o7777).toString(8), clauses.join(','))
    }),
    { numRuns: 200 },
  )
})

test('parseMode() takes octal modes, gives X to directories, and refuses what is no mode', () => {
  assert.equal(parseMode('0644')(0o777, false), 0o644)
  assert.equal(parseMode('4755')(0, false), 0o4755)
  assert.equal(parseMode('u=rwX,go=rX')(0o600, true), 0o755)
  assert.equal(parseMode('u=rwX,go=rX')(0o600, false), 0o644)
  assert.equal(parseMode('+x')(0o644, false), 0o755)
  for (const text of ['', '888', 'u', 'u+q', 'rw', 'u+r,']) assert.throws(() => parseMode(text), { code: 'STRATA_INVALID_MODE' }, text)
})
