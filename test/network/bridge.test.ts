import assert from 'node:assert/strict'
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync, statfsSync, writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { networkInterfaces, tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { openMetadata } from '../../src/metadata/index.ts'
import { type Endpoint, type NetworkRecord, type Networks, openNetworks, parsePublish } from '../../src/network/index.ts'
import { freePorts, listenOn, NETWORK, newId, whyNot } from './machine.ts'

const reason = await whyNot()

describe('Networks on a bridge', { skip: reason, timeout: 60_000 }, () => {
  let directory = ''
  let networks: Networks
  const children: ChildProcess[] = []

  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'strata-network-'))
    networks = openNetworks({ directory })
  })

  after(async () => {
    for (const child of children) child.kill('SIGKILL')
    for (const { containerId } of await networks.endpoints()) await networks.disconnect(containerId)
    networks.close()
    await rm(directory, { recursive: true })
  })

  const connect = (publish: readonly string[] = [], containerId = newId()): Promise<Endpoint> =>
    networks.connect({ containerId, containerName: 'test', publish: publish.flatMap(parsePublish) })

  /** Starts a program in the endpoint's namespace; it ends with the test file. */
  const startIn = (endpoint: Endpoint, ...command: readonly string[]): ChildProcess => {
    const child = spawn('nsenter', [`--net=${endpoint.namespacePath}`, ...command], { stdio: 'ignore' })
    children.push(child)
    return child
  }

  /** What of an endpoint is still on the machine. */
  const traces = async (endpoint: Endpoint): Promise<readonly string[]> => {
    const found: string[] = []
    const rules = spawnSync('iptables-save', { encoding: 'utf8' }).stdout.split('\n')
    found.push(
      ...rules.filter(
        rule => rule.includes(endpoint.containerId) || rule.includes(`${endpoint.address}/`) || rule.includes(`${endpoint.address}:`),
      ),
    )
    if (existsSync(endpoint.namespacePath)) found.push(endpoint.namespacePath)
    if ((await networks.endpoint(endpoint.containerId)) !== undefined) found.push('its record')
    return found
  }

  /** What is left when nobody is on the bridge. */
  const remains = async (): Promise<readonly string[]> => {
    const bridge = (await networks.get('bridge'))!.bridge!
    const found = spawnSync('iptables-save', { encoding: 'utf8' }).stdout.split('\n')
    // The kernel ends a namespace, and with it the bridge's port, a moment after its last user.
    for (let waited = 0; waited < 2000 && existsSync(`/sys/class/net/${bridge.interfaceName}/brif`); waited += 50) {
      if (readdirSync(`/sys/class/net/${bridge.interfaceName}/brif`).length === 0) break
      await sleep(50)
    }
    return [...found.filter(rule => rule.includes(bridge.subnet)), ...readdirSync(join(directory, 'netns'))]
  }

  test('connect() gives a container an interface, an address, a route and the bridge', async () => {
    const endpoint = await connect()
    const network = (await networks.get(endpoint.networkId))!
    assert.equal(statfsSync(endpoint.namespacePath).type, 0x6e73_6673)
    const interfaces = inNamespace(endpoint, 'busybox', 'ip', 'address', 'show', 'eth0')
    assert.match(interfaces, new RegExp(`inet ${endpoint.address}/${endpoint.prefixLength} `))
    assert.match(interfaces, new RegExp(`link/ether ${endpoint.macAddress} `))
    assert.match(inNamespace(endpoint, 'busybox', 'ip', 'route'), new RegExp(`^default via ${endpoint.gateway} dev eth0`))
    assert.match(inNamespace(endpoint, 'busybox', 'ip', 'address', 'show', 'lo'), /inet 127\.0\.0\.1\/8/)
    assert.ok(existsSync(`/sys/class/net/${network.bridge!.interfaceName}/bridge`))
    assert.deepEqual(await networks.endpoint(endpoint.containerId), endpoint)

    await networks.disconnect(endpoint.containerId)
    assert.deepEqual(await traces(endpoint), [])
    assert.deepEqual(await remains(), [])
    assert.ok(!existsSync(`/sys/class/net/${network.bridge!.interfaceName}`), 'the bridge goes with its last container')
    await networks.disconnect(endpoint.containerId)
  })

  test('the gateway keeps its MAC address while containers come and go', async () => {
    const endpoints: Endpoint[] = []
    const seen = new Set<string>()
    for (let count = 0; count < 3; count += 1) {
      endpoints.push(await connect())
      seen.add(bridgeAddress((await networks.get('bridge'))!))
    }
    for (const { containerId } of endpoints.slice(1)) {
      await networks.disconnect(containerId)
      seen.add(bridgeAddress((await networks.get('bridge'))!))
    }
    await networks.disconnect(endpoints[0]!.containerId)
    const octets = (await networks.get('bridge'))!.bridge!.gateway.split('.').map(octet => Number(octet).toString(16).padStart(2, '0'))
    assert.deepEqual([...seen], [`02:42:${octets.join(':')}\n`])
  })

  test('two containers reach each other over the bridge', async () => {
    const a = await connect()
    const b = await connect()
    assert.notEqual(a.address, b.address)
    assert.match(inNamespace(a, 'busybox', 'ping', '-c', '1', '-W', '5', b.address), / 0% packet loss/)
    assert.match(inNamespace(b, 'busybox', 'ping', '-c', '1', '-W', '5', a.gateway), / 0% packet loss/)
    await networks.disconnect(a.containerId)
    assert.match(inNamespace(b, 'busybox', 'ping', '-c', '1', '-W', '5', b.gateway), / 0% packet loss/, 'b outlives a')
    assert.notEqual(spawnSync('nsenter', [`--net=${b.namespacePath}`, 'busybox', 'ping', '-c', '1', '-W', '1', a.address]).status, 0)
    await networks.disconnect(b.containerId)
  })

  test('published tcp ports answer on 127.0.0.1 and on the host’s address until disconnect()', async () => {
    writeFileSync(join(directory, 'index.html'), 'hello from the container')
    const [first, second] = await freePorts(2)
    const endpoint = await connect([`${first}:80`, `127.0.0.1:${second}:80`, '81'])
    startIn(endpoint, 'busybox', 'httpd', '-f', '-p', '80', '-h', directory)
    assert.equal(await get(`http://127.0.0.1:${first}/`), 'hello from the container')
    assert.equal(await get(`http://127.0.0.1:${second}/`), 'hello from the container')
    for (const address of hostAddresses()) {
      assert.equal(await get(`http://${address}:${first}/`), 'hello from the container', address)
      await assert.rejects(fetch(`http://${address}:${second}/`), 'published on the loopback only')
    }
    const chosen = endpoint.ports[2]!
    assert.deepEqual({ ...chosen, hostPort: 0 }, { hostAddress: '0.0.0.0', hostPort: 0, containerPort: 81, protocol: 'tcp' })
    assert.ok(chosen.hostPort >= 32768 && chosen.hostPort <= 60999)

    await networks.disconnect(endpoint.containerId)
    await assert.rejects(fetch(`http://127.0.0.1:${first}/`))
    assert.deepEqual(await traces(endpoint), [])
  })

  test('published udp ports and ranges answer, each by its own partner', async () => {
    const [port] = await freePorts(3)
    const endpoint = await connect([`${port}-${port! + 2}:7000-7002/udp`])
    const echo = `for (const port of [7000, 7001, 7002]) {
      const socket = require('node:dgram').createSocket('udp4')
      socket.on('message', (text, from) => socket.send(port + ' ' + text, from.port, from.address)).bind(port)
    }`
    startIn(endpoint, process.execPath, '-e', echo)
    for (const [index, address] of ['127.0.0.1', '127.0.0.1', ...hostAddresses().slice(0, 1)].entries()) {
      assert.equal(await askUdp(address, port! + index), `${7000 + index} hello`)
    }
    await networks.disconnect(endpoint.containerId)
    assert.deepEqual(await traces(endpoint), [])
  })

  test('connect() refuses a port that a container or a program has, and leaves nothing behind', async () => {
    const [port] = await freePorts(1)
    const first = await connect([`${port}:80`])
    startIn(first, 'sleep', '60')
    const second = newId()
    for (const wish of [`${port}:81`, `127.0.0.1:${port}:81`]) {
      await assert.rejects(connect([wish], second), {
        code: 'STRATA_PORT_ALLOCATED',
        kind: 'conflict',
        message: /Bind for [\d.]+:\d+ failed: port is already allocated$/,
      })
    }
    const udp = await connect([`${port}:81/udp`])
    await networks.disconnect(udp.containerId)
    await networks.disconnect(first.containerId)

    const server = await listenOn(port!)
    await assert.rejects(connect([`${port}:81`], second), { code: 'STRATA_PORT_ALLOCATED', message: /address already in use$/ })
    const [other] = (await connect([`${port}-${port! + 9}:81`], second)).ports
    assert.ok(other!.hostPort > port! && other!.hostPort <= port! + 9, 'a range goes on to the next port')
    await networks.disconnect(second)
    server.close()
    assert.equal(await networks.endpoint(second), undefined)
    await assert.rejects(connect(['203.0.113.9::80']), /Cannot publish on 203\.0\.113\.9/)
    assert.deepEqual(await networks.endpoints(), [])
    assert.deepEqual(await remains(), [])
  })

  test('connect() gives the wanted addresses, and refuses what it can not give', async () => {
    const { bridge } = (await networks.get('bridge'))!
    const wanted = bridge!.gateway.replace(/\.1$/, '.77')
    const request = { containerName: 'test', address: wanted, macAddress: '02-AA-00-00-00-01' }
    const endpoint = await networks.connect({ ...request, containerId: newId() })
    assert.equal(endpoint.address, wanted)
    assert.match(inNamespace(endpoint, 'busybox', 'ip', 'address', 'show', 'eth0'), /link\/ether 02:aa:00:00:00:01 /)
    startIn(endpoint, 'sleep', '60')
    await assert.rejects(networks.connect({ ...request, containerId: newId() }), { code: 'STRATA_ADDRESS_IN_USE' })
    await assert.rejects(networks.connect({ ...request, containerId: endpoint.containerId }), { code: 'STRATA_ALREADY_CONNECTED' })
    await assert.rejects(networks.connect({ ...request, containerId: newId(), address: '192.0.2.200' }), { code: 'STRATA_ADDRESS_OUTSIDE' })
    await assert.rejects(networks.connect({ ...request, containerId: newId(), address: bridge!.gateway }), {
      code: 'STRATA_ADDRESS_OUTSIDE',
    })
    await assert.rejects(networks.connect({ containerName: 'x', containerId: newId(), macAddress: '01:00:00:00:00:01' }), {
      code: 'STRATA_INVALID_MAC_ADDRESS',
    })
    await assert.rejects(networks.connect({ containerName: 'x', containerId: '../x' }), { code: 'STRATA_INVALID_CONTAINER_ID' })
    await assert.rejects(networks.connect({ containerName: 'x', containerId: newId(), network: 'nope' }), {
      code: 'STRATA_NO_SUCH_NETWORK',
    })
    await assert.rejects(networks.connect({ containerName: 'x', containerId: newId(), network: 'none' }), { code: 'STRATA_NOT_A_BRIDGE' })
    await networks.disconnect(endpoint.containerId)
  })

  test('connect() in eight processes at once gives eight addresses, ports and working interfaces', async () => {
    const ids = Array.from({ length: 8 }, newId)
    const code = (id: string): string => `
      const { openNetworks, parsePublish } = await import(${JSON.stringify(NETWORK)})
      const networks = openNetworks({ directory: ${JSON.stringify(directory)} })
      await networks.connect({ containerId: '${id}', containerName: 'test', publish: parsePublish('80') })
      networks.close()`
    const ended = await Promise.all(ids.map(id => once(runNode(code(id)), 'exit')))
    for (const end of ended) assert.deepEqual(end, [0, null])
    const endpoints = await networks.endpoints()
    assert.equal(new Set(endpoints.map(({ address }) => address)).size, 8)
    assert.equal(new Set(endpoints.map(({ macAddress }) => macAddress)).size, 8)
    assert.equal(new Set(endpoints.map(({ ports }) => ports[0]!.hostPort)).size, 8)
    for (const endpoint of endpoints) {
      assert.match(inNamespace(endpoint, 'busybox', 'ping', '-c', '1', '-W', '5', endpoint.gateway), / 0% packet loss/)
    }
    await Promise.all(endpoints.map(({ containerId }) => networks.disconnect(containerId)))
    assert.deepEqual(await remains(), [])
  })

  test('disconnect() cleans up after a namespace that was lost', async () => {
    const [port] = await freePorts(1)
    const endpoint = await connect([`${port}:80`])
    assert.equal(spawnSync('umount', ['-l', endpoint.namespacePath]).status, 0)
    await networks.disconnect(endpoint.containerId)
    assert.deepEqual(await traces(endpoint), [])
    assert.deepEqual(await remains(), [])
  })

  test('disconnect() removes a namespace whose record was lost', async () => {
    const endpoint = await connect()
    await networks.disconnect(endpoint.containerId)
    writeFileSync(endpoint.namespacePath, '')
    assert.equal(spawnSync('unshare', [`--net=${endpoint.namespacePath}`, 'true']).status, 0)
    await networks.disconnect(endpoint.containerId)
    assert.deepEqual(await remains(), [])
  })

  test('collect() takes from the dead, and only from them', async () => {
    const living = await connect()
    const id = newId()
    const code = `
      const { openNetworks, parsePublish } = await import(${JSON.stringify(NETWORK)})
      await openNetworks({ directory: ${JSON.stringify(directory)} }).connect({ containerId: '${id}', containerName: 'test' })`
    assert.deepEqual(await once(runNode(code), 'exit'), [0, null])
    const dead = (await networks.endpoint(id))!
    const sleeper = startIn(dead, 'sleep', '60')
    await sleep(100)
    assert.deepEqual(await networks.collect(), [], 'a process lives in it')
    sleeper.kill('SIGKILL')
    await once(sleeper, 'exit')
    assert.deepEqual(await networks.collect(), [id])
    assert.deepEqual(await traces(dead), [])
    assert.notEqual(await networks.endpoint(living.containerId), undefined)
    await networks.disconnect(living.containerId)
  })

  test('an endpoint of an earlier boot holds neither address nor port', async () => {
    const [port] = await freePorts(1)
    // Without anybody on it the bridge goes, and another root may take its subnet.
    const neighbour = await connect()
    const endpoint = await connect([`${port}:80`])
    await networks.disconnect(endpoint.containerId)
    {
      using records = openMetadata(join(directory, 'records.db'))
      const row = [endpoint.containerId, endpoint.id, 'test', endpoint.networkId, addressNumber(endpoint), endpoint.macAddress]
      // The number and start time of its owner are those of a living process by chance: this one.
      const startedAt = readFileSync('/proc/self/stat', 'utf8').split(') ').at(-1)!.split(' ')[19]!
      const owner = [process.pid, startedAt, 'another-boot', Date.now()]
      records.run("INSERT INTO endpoints VALUES (?, ?, ?, ?, ?, ?, 'connected', ?, ?, ?, ?)", ...row, ...owner)
      records.run("INSERT INTO ports VALUES ('tcp', ?, '0.0.0.0', ?, 80, 0)", port!, endpoint.containerId)
      // What a reboot leaves of a namespace where the run-time directory is on a disk.
      writeFileSync(endpoint.namespacePath, '')
    }
    using rebooted = openNetworks({ directory })
    const again = await rebooted.connect({ containerId: endpoint.containerId, containerName: 'test', publish: parsePublish(`${port}:80`) })
    assert.equal(again.address, endpoint.address)
    await rebooted.disconnect(endpoint.containerId)
    assert.deepEqual(await traces(endpoint), [])
    await networks.disconnect(neighbour.containerId)
  })

  test('connect() names what is missing without netavark', () => {
    const code = `
      const { openNetworks } = await import(${JSON.stringify(NETWORK)})
      const networks = openNetworks({ directory: ${JSON.stringify(directory)} })
      await networks.connect({ containerId: '${newId()}', containerName: 'test' }).catch(error => console.log(error.code, error.hint))
      console.log((await networks.endpoints()).length)`
    // A mount namespace in which the place of Debian's netavark is empty; the PATH has no other.
    const script = 'for d in /usr/lib/podman /usr/libexec/podman; do [ ! -d $d ] || mount -t tmpfs none $d; done; exec "$@"'
    const args = ['-m', 'sh', '-c', script, 'sh', process.execPath, '--input-type=module', '-e', code]
    const { stdout } = spawnSync('unshare', args, { encoding: 'utf8', env: { PATH: '/usr/bin:/bin:/usr/sbin:/sbin' } })
    assert.match(stdout, /^STRATA_NETAVARK_MISSING apt-get install netavark .*--network none.*\n0\n$/)
  })
})

function bridgeAddress({ bridge }: NetworkRecord): string {
  return readFileSync(`/sys/class/net/${bridge!.interfaceName}/address`, 'utf8')
}

function inNamespace(endpoint: Endpoint, ...command: readonly string[]): string {
  const { stdout, stderr } = spawnSync('nsenter', [`--net=${endpoint.namespacePath}`, ...command], { encoding: 'utf8' })
  return stdout + stderr
}

function runNode(code: string): ChildProcess {
  return spawn(process.execPath, ['--input-type=module', '-e', code], { stdio: ['ignore', 'inherit', 'inherit'] })
}

/** Asks again while the server starts. */
async function get(url: string): Promise<string> {
  for (let attempt = 0; ; attempt += 1) {
    try {
      return await (await fetch(url, { signal: AbortSignal.timeout(2000) })).text()
    } catch (error) {
      if (attempt === 30) throw error
      await sleep(100)
    }
  }
}

async function askUdp(address: string, port: number): Promise<string> {
  for (let attempt = 0; attempt < 50; attempt += 1) {
    const socket = createSocket('udp4')
    try {
      socket.send('hello', port, address)
      const [text] = (await once(socket, 'message', { signal: AbortSignal.timeout(200) })) as [Buffer]
      return text.toString()
    } catch {
      // Not yet.
    } finally {
      socket.close()
    }
  }
  return 'no answer'
}

function hostAddresses(): string[] {
  const addresses = Object.entries(networkInterfaces()).flatMap(([name, list = []]) => (name.startsWith('strata') ? [] : list))
  return addresses.filter(({ family, internal }) => family === 'IPv4' && !internal).map(({ address }) => address)
}

function addressNumber({ address }: Endpoint): number {
  return address.split('.').reduce((number, octet) => number * 256 + Number(octet), 0)
}
