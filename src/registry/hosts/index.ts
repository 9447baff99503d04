export { ConfigFiles, type RegistryEnvironment, registryEnvironment } from './configFiles.ts'
export { hostsFor } from './hostsFor.ts'
export { CAPABILITIES, type Capability, type RegistryHost } from './registryHost.ts'
export { aliasedReference } from './shortNames.ts'
