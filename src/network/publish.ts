/** The transport protocols that can be published. */
export type Protocol = 'tcp' | 'udp' | 'sctp'

/** A port that shall be published, as `-p` names it; the same shape as the container part's PublishOptions. */
export interface PublishRequest {
  /** '' is every address. */
  readonly hostAddress: string
  /** 0 lets the engine choose a free one. */
  readonly hostPort: number
  /** The last port of a range from which the engine chooses one (`-p 8000-9000:80`). */
  readonly hostPortEnd?: number
  readonly containerPort: number
  readonly protocol: Protocol
}

/** A port that is published: docker's HostIp, HostPort and `port/protocol`. */
export interface PublishedPort {
  readonly hostAddress: string
  readonly hostPort: number
  readonly containerPort: number
  readonly protocol: Protocol
}
