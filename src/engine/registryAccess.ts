import type { Logger } from '../base/index.ts'

/** What a registry is reached by: credentials, mirrors, certificates. */
export interface RegistryAccess {
  /** Where `config.json` is. */
  readonly configDirectory: string
  readonly systemDirectory: string
  readonly userConfigDirectory: string
  readonly logger: Logger
}
