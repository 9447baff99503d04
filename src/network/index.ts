export {
  hostnameFile,
  hostsFile,
  type HostsFileOptions,
  readHostResolvConf,
  resolvConfFile,
  type ResolvConfOptions,
} from './containerFiles.ts'
export { type NetworkMode, parseNetworkMode } from './networkMode.ts'
export type { ConnectRequest, Endpoint, NetworkRecord, Networks, NetworksOptions } from './networks.ts'
export { openNetworks } from './openNetworks.ts'
export { parseExposedPorts, parsePublish, type Protocol, publishAll, type PublishedPort, type PublishRequest } from './publish.ts'
