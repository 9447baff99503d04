import type { Logger } from '../base/index.ts'
import type { Engine } from './engine.ts'

export interface EngineOptions {
  /** Default `$STRATA_ROOT`, else `/var/lib/strata` for root, `$XDG_DATA_HOME/strata` otherwise. */
  readonly root?: string
  /** Default: the one the root has, else the best for this kernel and disk. */
  readonly storageDriver?: string
  /** Where `config.json` with credentials is. Default `$STRATA_CONFIG`, `$DOCKER_CONFIG`, `~/.docker`. */
  readonly configDirectory?: string
  /** The machine's configuration that other tools share: `containers/policy.json`, `containers/registries.conf`, `docker/daemon.json`. Default `/etc`. */
  readonly systemDirectory?: string
  /** This user's, which comes before the machine's. Default `$XDG_CONFIG_HOME`, `~/.config`. */
  readonly userConfigDirectory?: string
  /**
   * Default true: what a method has acknowledged survives power loss. With false nothing is ever synced, for machines that are
   * thrown away: power loss may then cost the whole root, also what engines that sync have acknowledged before.
   */
  readonly fsync?: boolean
  readonly logger?: Logger
}

/** Opens an installation, and makes it where there is none. Costs little: parts are loaded by the first method that needs them. */
export type OpenEngine = (options?: EngineOptions) => Promise<Engine>
