import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { test } from 'node:test'
import { setLinkAddress } from './links.ts'

const LINKS = new URL('links.ts', import.meta.url).href
const skip = process.getuid?.() !== 0 ? 'interfaces need root' : spawnSync('ip', ['-V']).status !== 0 ? 'ip is not installed' : false

test('setLinkAddress() gives a bridge an address that it keeps', { skip }, () => {
  // In namespaces of their own: sysfs shows the interfaces of the namespace that it was mounted in.
  const script = `mount -t sysfs none /sys
    ip link add name br type bridge && "$0" --input-type=module -e '
      const { setLinkAddress } = await import("${LINKS}")
      setLinkAddress("br", "02:42:0a:d0:00:01")' &&
    ip link add name p type veth peer name q && ip link set p address 02:00:00:00:00:01 && ip link set p master br &&
    cat /sys/class/net/br/address /sys/class/net/br/addr_assign_type`
  const { stdout, stderr } = spawnSync('unshare', ['-n', '-m', 'sh', '-c', script, process.execPath], { encoding: 'utf8' })
  assert.equal(stdout, '02:42:0a:d0:00:01\n3\n', stderr)
})

test('setLinkAddress() refuses names and addresses that are none', { skip }, () => {
  assert.throws(() => setLinkAddress('no-such-link', '02:42:0a:d0:00:01'), { code: 'ENOENT' })
  assert.throws(() => setLinkAddress('../lo', '02:42:0a:d0:00:01'), { code: 'EINVAL' })
  assert.throws(() => setLinkAddress('no-such-link', '02'), { code: 'EINVAL' })
})

test('setLinkAddress() throws what the kernel says', { skip }, () => {
  const script = `ip link add name br type bridge && mount -t sysfs none /sys && exec "$0" --input-type=module -e '
    const { setLinkAddress } = await import("${LINKS}")
    try { setLinkAddress("br", "01:00:00:00:00:01") } catch (error) { console.log(error.code, error.syscall) }'`
  const { stdout, stderr } = spawnSync('unshare', ['-n', '-m', 'sh', '-c', script, process.execPath], { encoding: 'utf8' })
  assert.equal(stdout, 'EADDRNOTAVAIL RTM_NEWLINK\n', stderr)
})
