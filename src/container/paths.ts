import { join } from 'node:path'

/*
 * What survives a reboot, below the root:
 *
 *   containers/<id>/hosts, hostname, resolv.conf   the container's own; bind-mounted over its root file system
 *   containers/<id>/log                            what conmon, or a foreground run, writes of its output
 *   volumes/<name>/_data
 *
 * What does not, below the run directory (a memory file system):
 *
 *   locks/<id>        locked by who changes the container
 *   exits/<id>        how a container that removed itself ended, for those who still wait for it
 *   c/<id>/           from start until what is due after the end: the bundle, which is also conmon's directory
 *   c/<id>/rootfs     where the root file system is mounted
 *   c/<id>/exec/<x>/  one exec session
 *
 * Sockets lie there and a socket's path has at most 107 bytes, hence the short names.
 */

/** Where the files of containers and volumes are. */
export class ContainerPaths {
  readonly #root: string
  readonly #run: string

  constructor(root: string, runDirectory: string) {
    this.#root = root
    this.#run = runDirectory
  }

  directory(id: string): string {
    return join(this.#root, 'containers', id)
  }

  etc(id: string, name: 'hosts' | 'hostname' | 'resolv.conf'): string {
    return join(this.directory(id), name)
  }

  log(id: string): string {
    return join(this.directory(id), 'log')
  }

  get volumes(): string {
    return join(this.#root, 'volumes')
  }

  volume(name: string): string {
    return join(this.volumes, name)
  }

  volumeData(name: string): string {
    return join(this.volume(name), '_data')
  }

  get locks(): string {
    return join(this.#run, 'locks')
  }

  get exits(): string {
    return join(this.#run, 'exits')
  }

  get bundles(): string {
    return join(this.#run, 'c')
  }

  bundle(id: string): string {
    return join(this.bundles, id)
  }

  rootfs(id: string): string {
    return join(this.bundle(id), 'rootfs')
  }

  execSessions(id: string): string {
    return join(this.bundle(id), 'exec')
  }

  get runtimeState(): string {
    return join(this.#run, 'runtime')
  }
}
