import { once } from 'node:events'
import type { HiddenName, ServedRequest } from '../../engine/index.ts'
import { defineCommand, type Command } from '../command.ts'
import type { Invocation } from '../invocation.ts'
import { flag, list, text } from '../options.ts'
import { UsageError } from '../usageError.ts'

export const command: Command = defineCommand({
  usage: '[OPTIONS]',
  notes:
    'Clients find an image under its path without the registry: quay.io/team/app:1 as ADDR:PORT/team/app:1, and debian:12 as ' +
    'ADDR:PORT/debian:12. Where two names have one path, this server’s own comes first, then that of docker.io; the other is hidden: ' +
    'it is here, and clients do not get it. What they push gets this server’s own name: after a push to 127.0.0.1:5000/team/app:1 this ' +
    'machine runs it as 127.0.0.1:5000/team/app:1, not as team/app:1, so that no client changes what that name means here. Clients ' +
    'delete only what clients have pushed. With --upstream the server is a cache: `strata system df` counts what it has fetched, and ' +
    '`strata image prune --all` removes it.',
  options: {
    allow: list('Address or network that may connect; repeat it for more (default: this machine, or everybody who can sign in)', {
      value: 'network',
    }),
    htpasswd: text('File of NAME:BCRYPT-HASH lines: clients must sign in', { value: 'file' }),
    listen: text('ADDR:PORT to listen on; port 0 is any free one', { value: 'addr:port', shownDefault: '"127.0.0.1:5000"' }),
    'push-user': list('With --writable: a user of the htpasswd file who may push; repeat it for more (default: all of them)', {
      value: 'name',
    }),
    'tls-cert': text('PEM file of the certificate, with its chain', { value: 'file' }),
    'tls-key': text('PEM file of its key', { value: 'file' }),
    upstream: text('Be a cache of this registry, without a scheme (docker.io): what is not here is fetched from it', {
      value: 'host[:port]',
    }),
    verbose: flag('Print a line for each request on stderr'),
    writable: flag('Let clients push and delete'),
  },
  operands: [0, 0],
  async run(invocation, options) {
    const { allow, htpasswd, listen, upstream, verbose, writable } = options
    const { 'push-user': pushUsers, 'tls-cert': certificate, 'tls-key': key } = options
    if ((certificate === undefined) !== (key === undefined)) throw new UsageError('--tls-cert and --tls-key go together', 'flag')
    const interruption = invocation.interruption()
    const engine = await invocation.engine()
    await using server = await engine.serve({
      writable,
      ...(listen === undefined ? {} : { listen }),
      ...(upstream === undefined ? {} : { upstream }),
      ...(allow.length === 0 ? {} : { allow }),
      ...(htpasswd === undefined ? {} : { htpasswd }),
      ...(pushUsers.length === 0 ? {} : { pushUsers }),
      ...(certificate === undefined || key === undefined ? {} : { tls: { certificate, key } }),
      ...(verbose ? { onRequest: request => invocation.complain(`${requestLine(request, invocation)}\n`) } : {}),
      onHidden: hidden => warnOfHidden(invocation, hidden),
    })
    invocation.printLine(`Serving on ${server.url.origin}`)
    warnOfHidden(invocation, server.hidden)
    if (!interruption.aborted) await once(interruption, 'abort')
    return 0
  },
})

function warnOfHidden(invocation: Invocation, hidden: readonly HiddenName[]): void {
  for (const { name, servedAs, hiddenBy } of hidden) invocation.warn(`${name} is hidden: clients get ${hiddenBy} as ${servedAs}`)
}

function requestLine({ client, user, method, url, status, bytes, durationMs }: ServedRequest, { surroundings }: Invocation): string {
  return `${surroundings.now().toISOString()} ${client} ${user ?? '-'} ${method} ${url} ${status ?? '-'} ${bytes} ${durationMs}ms`
}
