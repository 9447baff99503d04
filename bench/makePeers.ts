/*
 * node bench/makePeers.ts
 * Installs the peers that benchmarks are run against, Debian 13's, in a root of their own beside this
 * system. Once; a few minutes and 1.5 GB. Needs root and `apt-get install debootstrap`.
 */
import { installPeers } from './peers/installPeers.ts'
import { PEERS_ROOT } from './places.ts'

await installPeers(PEERS_ROOT)
console.log(`the peers are in ${PEERS_ROOT}`)
