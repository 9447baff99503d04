import assert from 'node:assert/strict'
import { test } from 'node:test'
import { streamOf } from '../base/index.ts'
import { digestOf } from '../oci/index.ts'
import { verified } from './verified.ts'

const WHOLE = Buffer.from('the bytes of a blob')
const parts = (...texts: readonly string[]): AsyncGenerator<Uint8Array> => streamOf(...texts.map(text => Buffer.from(text)))

/** What comes out until the stream ends or throws. */
async function read(bytes: AsyncIterable<Uint8Array>): Promise<{ readonly text: string; readonly code: unknown }> {
  let text = ''
  try {
    for await (const chunk of bytes) text += Buffer.from(chunk).toString()
    return { text, code: undefined }
  } catch (error) {
    return { text, code: (error as { code?: unknown }).code }
  }
}

for (const algorithm of ['sha256', 'sha512'] as const) {
  const expected = { digest: digestOf(WHOLE, algorithm), size: WHOLE.length }

  test(`hostile #52: verified() passes on what is right (${algorithm}), and says what is wrong with anything else before its last chunk`, async () => {
    assert.deepEqual(await read(verified(parts('the bytes', ' of a', ' blob'), expected)), { text: WHOLE.toString(), code: undefined })
    for (const [given, passed, code] of [
      [['the bytes', ' of a'], 'the bytes', 'STRATA_SIZE_MISMATCH'],
      [[], '', 'STRATA_SIZE_MISMATCH'],
      [['the bytes', ' of a', ' blob', '!'], 'the bytes of a', 'STRATA_SIZE_MISMATCH'],
      [['the bytes', ' of a', ' blub'], 'the bytes of a', 'STRATA_DIGEST_MISMATCH'],
      [['THE bytes', ' of a', ' blob'], 'THE bytes of a', 'STRATA_DIGEST_MISMATCH'],
    ] as const)
      assert.deepEqual(await read(verified(parts(...given), expected)), { text: passed, code }, given.join('|'))
  })
}

test('hostile #52: verified() asks for nothing behind the size that is expected', async () => {
  let asked = 0
  async function* endless(): AsyncGenerator<Uint8Array> {
    for (;;) {
      asked += 1
      yield Buffer.alloc(10)
    }
  }
  await assert.rejects(Array.fromAsync(verified(endless(), { digest: digestOf(WHOLE), size: 25 })), { code: 'STRATA_SIZE_MISMATCH' })
  assert.equal(asked, 3)
})
