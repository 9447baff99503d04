import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { certificatesIn } from './certificates.ts'

test('certificatesIn() tells authorities and clients by the names of files', () => {
  assert.deepEqual(
    certificatesIn('/d', ['b.crt', 'a.crt', 'client.cert', 'client.key', 'lonely.cert', 'other.key', 'x.pem', '.cert', '.key']),
    {
      authorities: ['/d/a.crt', '/d/b.crt'],
      clients: [{ certificate: '/d/client.cert', key: '/d/client.key' }],
    },
  )
})

test('property: each file is used once at most, and each certificate with its key', () => {
  fc.assert(
    fc.property(fc.uniqueArray(fc.stringMatching(/^[ab]{0,2}\.(?:crt|cert|key)$/)), names => {
      const { authorities, clients } = certificatesIn('/d', names)
      const used = [...authorities, ...clients.flatMap(({ certificate, key }) => [certificate, key])]
      assert.equal(new Set(used).size, used.length)
      for (const { certificate, key } of clients) assert.equal(certificate.replace(/cert$/, 'key'), key)
    }),
  )
})
