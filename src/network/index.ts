export type { ConnectRequest, Endpoint, NetworkRecord, Networks, NetworksOptions } from './networks.ts'
export type { Protocol, PublishedPort, PublishRequest } from './publish.ts'
