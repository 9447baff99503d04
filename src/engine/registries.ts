import type { Descriptor } from '../oci/index.ts'

export interface LoginOptions {
  readonly username: string
  /** Or an access token, where the registry takes one. Never part of a message or a log. */
  readonly password: string
}

export interface Login {
  /** As `config.json` names it: `localhost:5000`, and `https://index.docker.io/v1/` for Docker Hub. */
  readonly server: string
  readonly username: string
  /** Where the credentials are now; undefined where they were before. */
  readonly keeper: { readonly kind: 'file'; readonly path: string } | { readonly kind: 'helper'; readonly name: string } | undefined
}

export interface Logout {
  readonly server: string
  /** False when there were no credentials for it. */
  readonly removed: boolean
}

/** A manifest or index as a registry has it. */
export interface RemoteDocument {
  /** Canonical, such as `docker.io/library/debian:12`; an entry of an index has its digest as well. */
  readonly reference: string
  /** With the platform of an image, where it is known: from its index, or from its config. */
  readonly descriptor: Descriptor
  readonly bytes: Uint8Array
  /** Whether it is an entry of the index that the name stands for. */
  readonly isEntry: boolean
}
