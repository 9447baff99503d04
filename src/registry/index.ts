export { type Challenge, parseChallenges } from './challenge.ts'
export { type Credentials, findCredentials } from './credentials.ts'
export { connectRepository, type ConnectOptions, type RemoteManifest, Repository } from './repository.ts'
