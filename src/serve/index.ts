export type { RegistryServer, ServedRequest, ServeOptions } from './options.ts'
export { serveRegistry } from './registryServer.ts'
export type { HiddenName } from './servedNames.ts'
