import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { fileStream } from '../base/index.ts'
import { openRootfs } from './rootfsSource.ts'

const scratch = mkdtempSync(join(tmpdir(), 'strata-rootfs-'))
after(() => rmSync(scratch, { recursive: true, force: true }))

const BYTES = Buffer.alloc(300_000, 'rootfs')

async function serve(
  answer: (request: IncomingMessage, response: ServerResponse) => void,
): Promise<{ readonly url: string } & AsyncDisposable> {
  const server = createServer(answer).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as { port: number }).port}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

async function read(source: string, signal?: AbortSignal): Promise<{ readonly bytes: Buffer; readonly total: number | undefined }> {
  const { bytes, total } = await openRootfs(source, signal)
  return { bytes: Buffer.concat(await Array.fromAsync('path' in bytes ? fileStream(bytes.path, bytes) : bytes)), total }
}

test('openRootfs() leaves a file to the worker, and says how large it is', async () => {
  const path = join(scratch, 'rootfs.tar')
  writeFileSync(path, BYTES)
  assert.deepEqual(await openRootfs(path, undefined), { bytes: { path }, total: BYTES.length })
  await assert.rejects(openRootfs(join(scratch, 'none'), undefined), { kind: 'notFound', message: /^Cannot read ".*none": no such file/ })
})

test('openRootfs() reads what a URL gives, with and without a length, and through redirects', async () => {
  await using server = await serve((request, response) => {
    if (request.url === '/moved') response.writeHead(302, { location: '/plain' }).end()
    else if (request.url === '/plain') response.writeHead(200, { 'content-length': BYTES.length }).end(BYTES)
    else {
      response.write(BYTES.subarray(0, 1000))
      response.end(BYTES.subarray(1000))
    }
  })
  assert.deepEqual(await read(`${server.url}/plain`), { bytes: BYTES, total: BYTES.length })
  assert.deepEqual(await read(`${server.url}/moved`), { bytes: BYTES, total: BYTES.length })
  assert.deepEqual(await read(`${server.url}/chunked`), { bytes: BYTES, total: undefined })
})

test('openRootfs() rejects for an answer that is no tar, and says neither password nor query', async () => {
  await using server = await serve((_, response) => response.writeHead(404).end('an error page'))
  const url = server.url.replace('//', '//ann:s3cret@')
  await assert.rejects(openRootfs(`${url}/rootfs.tar?token=hidden`, undefined), (error: Error & { kind?: string }) => {
    assert.equal(error.kind, 'unavailable')
    assert.match(error.message, /^Cannot import "http:\/\/127\.0\.0\.1:\d+\/rootfs\.tar": the server answers 404$/)
    assert.doesNotMatch(JSON.stringify(error) + String(error.stack), /s3cret|hidden/)
    return true
  })
})

test('hostile #52: openRootfs() rejects for a download that breaks off, never gives a short one for whole', async () => {
  await using server = await serve((_, response) => {
    response.writeHead(200, { 'content-length': BYTES.length })
    response.write(BYTES.subarray(0, 100_000), () => response.destroy())
  })
  await assert.rejects(read(`${server.url}/rootfs.tar`), { code: 'STRATA_DOWNLOAD', message: /the download broke off/ })
})

test('hostile #57: openRootfs() follows no redirect without end, nor one to a file of this machine', async () => {
  await using server = await serve((request, response) => {
    const location = request.url === '/file' ? 'file:///etc/passwd' : `${request.url}x`
    response.writeHead(302, { location }).end()
  })
  for (const path of ['/loop', '/file'])
    await assert.rejects(read(`${server.url}${path}`), { name: 'StrataError', code: 'STRATA_DOWNLOAD' }, path)
})

test('openRootfs() rejects when nothing answers, and when it is cancelled', async () => {
  await assert.rejects(openRootfs('http://127.0.0.1:1/rootfs.tar', undefined), { code: 'STRATA_DOWNLOAD', message: /ECONNREFUSED/ })
  await using server = await serve((_, response) => response.writeHead(200).write('and then nothing'))
  const abort = new AbortController()
  const reading = read(`${server.url}/stalls`, abort.signal)
  setTimeout(() => abort.abort(), 50)
  await assert.rejects(reading, { name: 'AbortError' })
})
