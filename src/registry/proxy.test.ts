import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { proxyFor } from './proxy.ts'

const PROXIES = { HTTPS_PROXY: 'http://secure:3128', http_proxy: 'plain:8080' }

test('proxyFor() has a proxy for each scheme, and none for this machine', () => {
  assert.equal(proxyFor(new URL('https://a.example/v2/'), PROXIES)?.href, 'http://secure:3128/')
  assert.equal(proxyFor(new URL('http://a.example/v2/'), PROXIES)?.href, 'http://plain:8080/')
  for (const url of ['https://localhost:5000', 'http://127.0.0.1', 'https://127.9.9.9', 'http://[::1]:5000'])
    assert.equal(proxyFor(new URL(url), PROXIES), undefined, url)
  assert.equal(proxyFor(new URL('https://a.example'), {}), undefined)
  assert.equal(proxyFor(new URL('https://a.example'), { HTTPS_PROXY: ' ' }), undefined)
})

test('proxyFor() leaves out what NO_PROXY names', () => {
  const isProxied = (url: string, exceptions: string): boolean =>
    proxyFor(new URL(url), { HTTPS_PROXY: 'http://p', HTTP_PROXY: 'http://p', NO_PROXY: exceptions }) !== undefined
  for (const [exceptions, url, proxied] of [
    ['*', 'https://a.example', false],
    ['a.example', 'https://a.example', false],
    ['a.example', 'https://x.a.example', false],
    ['a.example', 'https://aa.example', true],
    ['A.Example', 'https://a.example', false],
    ['.a.example', 'https://x.a.example', false],
    ['.a.example', 'https://a.example', true],
    ['*.a.example', 'https://x.a.example', false],
    ['*.a.example', 'https://a.example', true],
    ['a.example:5000', 'https://a.example:5000', false],
    ['a.example:5000', 'https://a.example', true],
    ['a.example:443', 'https://a.example', false],
    ['a.example:80', 'http://a.example', false],
    ['10.0.0.1', 'https://10.0.0.1', false],
    ['10.0.0.1', 'https://10.0.0.11', true],
    ['10.0.0.0/8', 'https://10.9.9.9:5000', false],
    ['10.0.0.0/8', 'https://11.0.0.1', true],
    ['10.0.0.0/99', 'https://10.0.0.1', true],
    ['fd00::/8', 'https://[fd12::1]:5000', false],
    ['fd12::1', 'https://[fd12::1]', false],
    ['[fd12::1]:443', 'https://[fd12::1]', false],
    [' b.example , a.example ,', 'https://a.example', false],
    [',', 'https://a.example', true],
  ] as const)
    assert.equal(isProxied(url, exceptions), proxied, `${exceptions} ${url}`)
})

test('proxyFor() rejects what it cannot use, and does not repeat it', () => {
  for (const address of [
    'socks5://u:s3cret@x',
    'ftp://x',
    'http://',
    'http://u:s3cret@x:99999',
    'http://u:s3cret%@x',
    'http://%zzs3cret@x',
  ])
    assert.throws(
      () => proxyFor(new URL('https://a.example'), { https_proxy: address }),
      (error: unknown) => {
        assert.doesNotMatch(String(error), /s3cret/)
        return (error as { code?: string }).code === 'STRATA_PROXY_INVALID'
      },
      address,
    )
})

test('property: a name, and whatever is below it, is left out, and no other name is', () => {
  const name = fc.array(fc.stringMatching(/^[a-z]{1,4}$/), { minLength: 1, maxLength: 4 }).map(labels => labels.join('.'))
  fc.assert(
    fc.property(name, name, (exception, host) => {
      fc.pre(host !== 'localhost')
      const proxy = proxyFor(new URL(`https://${host}`), { HTTPS_PROXY: 'http://p', NO_PROXY: exception })
      assert.equal(proxy === undefined, `.${host}`.endsWith(`.${exception}`))
    }),
  )
})
