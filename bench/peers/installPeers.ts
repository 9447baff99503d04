import { access, chmod, mkdir, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { unmountBelow } from '../measure/unmount.ts'
import { must } from '../programs.ts'
import { mountRoot } from './peers.ts'

const SUITE = 'trixie'
const PACKAGES = [
  ...['docker.io', 'docker-cli', 'podman', 'containerd', 'runc', 'crun', 'conmon', 'netavark', 'aardvark-dns'],
  ...['skopeo', 'umoci', 'pigz', 'iptables', 'ca-certificates'],
]

/** Installs the peers in a Debian root at `root`; what an earlier call has done is not done again. */
export async function installPeers(root: string): Promise<void> {
  if (!(await exists(join(root, 'usr/bin/apt-get')))) {
    const [archive = ''] = (await must('apt-get', ['indextargets', '--format', '$(REPO_URI)'])).split('\n')
    const partial = `${root}.partial`
    await rm(partial, { recursive: true, force: true })
    await mkdir(partial, { recursive: true })
    await must('/usr/sbin/debootstrap', ['--variant=minbase', SUITE, partial, archive])
    await rename(partial, root)
  }
  const mounted = await mountRoot(root)
  try {
    // Services are started by benchmarks alone.
    await writeFile(join(root, 'usr/sbin/policy-rc.d'), '#!/bin/sh\nexit 101\n')
    await chmod(join(root, 'usr/sbin/policy-rc.d'), 0o755)
    const script = 'export DEBIAN_FRONTEND=noninteractive; apt-get update && apt-get install -y --no-install-recommends "$@"'
    await must('chroot', [root, 'sh', '-c', script, 'sh', ...PACKAGES])
    // Podman's own limits for containers may be above what this machine allows.
    const limits = '[containers]\ndefault_ulimits = ["nofile=20000:20000","nproc=20000:20000"]\n'
    await mkdir(join(root, 'etc/containers'), { recursive: true })
    await writeFile(join(root, 'etc/containers/containers.conf'), limits)
  } finally {
    for (const target of mounted.toReversed()) await unmountBelow(target)
  }
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  )
}
