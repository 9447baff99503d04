import assert from 'node:assert/strict'
import { test } from 'node:test'
import { hash } from 'bcryptjs'
import { readPasswords } from './passwords.ts'

const basic = (text: string): string => `Basic ${Buffer.from(text).toString('base64')}`

test('readPasswords() reads bcrypt lines of every prefix, comments and empty lines', async () => {
  const line = await hash('pw', 4)
  const passwords = readPasswords(`# users\n\nann:${line}\r\nbob:${line.replace('$2b$', '$2y$')}\n`)
  assert.ok(passwords.knows('ann') && passwords.knows('bob') && !passwords.knows('# users'))
  for (const user of ['ann', 'bob']) {
    assert.equal(await passwords.userOf(basic(`${user}:pw`)), user)
    assert.equal(await passwords.userOf(basic(`${user}:pw`)), user)
    assert.equal(await passwords.userOf(basic(`${user}:px`)), undefined)
  }
})

test('userOf() takes no header that is not basic, no strangers, and no empty password', async () => {
  const passwords = readPasswords(`ann:${await hash('p:w', 4)}`)
  assert.equal(await passwords.userOf(basic('ann:p:w')), 'ann')
  for (const header of [
    undefined,
    '',
    'Basic',
    'Bearer abc',
    basic('ann'),
    basic('ann:'),
    basic(':p:w'),
    basic('eve:p:w'),
    `Basic ${'A'.repeat(5000)}`,
  ])
    assert.equal(await passwords.userOf(header), undefined, header)
})

test('readPasswords() refuses other hashes, and never prints a line', () => {
  for (const line of ['ann:secret', 'ann:$apr1$abc$def', 'ann:{SHA}fEqNCco3Yq9h5ZUglD3CZJT4lBs=', 'annie', ':$2y$05$x', 'ann:$2y$05$short'])
    assert.throws(
      () => readPasswords(`# a comment\n${line}`),
      (error: Error) => error.message.includes('line 2') && !error.message.includes(line),
      line,
    )
  assert.throws(() => readPasswords('\n# nobody\n'), { code: 'STRATA_HTPASSWD_INVALID' })
})

test('userOf() lets only so many guesses wait', async () => {
  const passwords = readPasswords(`ann:${await hash('pw', 4)}`)
  const guesses = await Promise.allSettled(Array.from({ length: 40 }, (_, position) => passwords.userOf(basic(`ann:${position}`))))
  assert.ok(guesses.some(guess => guess.status === 'rejected' && (guess.reason as { status: number }).status === 429))
  assert.ok(guesses.every(guess => guess.status === 'rejected' || guess.value === undefined))
  assert.equal(await passwords.userOf(basic('ann:pw')), 'ann')
})
