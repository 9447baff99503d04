import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { runProgram } from '../../src/base/index.ts'

export interface RegistryOptions {
  /** Wants these credentials by HTTP basic authentication. */
  readonly basic?: { readonly username: string; readonly password: string }
  /** Sends clients to this token service; `certificate` is the path of the key that its tokens are signed with. */
  readonly token?: { readonly realm: string; readonly service: string; readonly issuer: string; readonly certificate: string }
  /** Speaks TLS, with these PEM files; lets in only who has a certificate of one of the `clientAuthorities`, where there are some. */
  readonly tls?: { readonly certificate: string; readonly key: string; readonly clientAuthorities?: readonly string[] }
}

export interface LoopbackRegistry extends AsyncDisposable {
  /** `127.0.0.1:<port>`, as in a reference. */
  readonly address: string
}

/** A port of the loopback interface that nobody uses at the moment. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  server.close()
  await once(server, 'close')
  return port
}

/** Starts Debian's `docker-registry` with an empty store on a loopback port; disposing stops it and removes the store. */
export async function startRegistry(options: RegistryOptions = {}): Promise<LoopbackRegistry> {
  const directory = await mkdtemp(join(tmpdir(), 'strata-registry-'))
  const address = `127.0.0.1:${await freePort()}`
  const config = {
    version: '0.1',
    log: { level: 'error', accesslog: { disabled: true } },
    storage: { filesystem: { rootdirectory: join(directory, 'store') }, delete: { enabled: true } },
    http: { addr: address, ...tlsOf(options) },
    ...(await authOf(options, directory)),
  }
  // YAML is a superset of JSON.
  await writeFile(join(directory, 'config.yml'), JSON.stringify(config))
  const server = spawn('docker-registry', ['serve', join(directory, 'config.yml')], { stdio: 'ignore' })
  const dispose = async (): Promise<void> => {
    if (server.exitCode === null && server.signalCode === null) {
      server.kill('SIGTERM')
      await once(server, 'exit')
    }
    await rm(directory, { recursive: true, force: true })
  }
  try {
    await listens(address)
    return { address, [Symbol.asyncDispose]: dispose }
  } catch (error) {
    await dispose()
    throw error
  }
}

async function authOf({ basic, token }: RegistryOptions, directory: string): Promise<object> {
  if (basic !== undefined) {
    const path = join(directory, 'htpasswd')
    const { stdout } = await runProgram('htpasswd', ['-Bbn', basic.username, basic.password])
    await writeFile(path, stdout)
    return { auth: { htpasswd: { realm: 'test', path } } }
  }
  if (token !== undefined)
    return { auth: { token: { realm: token.realm, service: token.service, issuer: token.issuer, rootcertbundle: token.certificate } } }
  return {}
}

function tlsOf({ tls }: RegistryOptions): object {
  if (tls === undefined) return {}
  const { certificate, key, clientAuthorities } = tls
  return { tls: { certificate, key, ...(clientAuthorities === undefined ? {} : { clientcas: clientAuthorities }) } }
}

async function listens(address: string): Promise<void> {
  const [host, port] = address.split(':')
  for (let attempt = 0; attempt < 100; attempt += 1) {
    const socket = connect(Number(port), host)
    try {
      await once(socket, 'connect')
      return
    } catch {
      await sleep(50)
    } finally {
      socket.destroy()
    }
  }
  throw new Error(`Cannot start docker-registry: ${address} does not answer`)
}
