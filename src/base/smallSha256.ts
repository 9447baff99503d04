/*
 * SHA-256 (FIPS 180-4) for a few kilobytes: node:crypto takes 4 to 5 ms to load, which is as long as this needs for 16 KiB.
 */

/** Up to here this is faster than to load node:crypto. */
export const SMALL_SHA256_BYTES: number = 8 * 1024

const FIRST_PRIMES = Array.from({ length: 312 }, (_, number) => number).filter(isPrime)
/** FIPS 180-4 4.2.2: the first 32 bits of the fractions of the cube roots of the first 64 primes. */
const ROUND_CONSTANTS = Int32Array.from(FIRST_PRIMES, prime => fraction(Math.cbrt(prime)))
/** FIPS 180-4 5.3.3: the same of the square roots of the first eight. */
const INITIAL = FIRST_PRIMES.slice(0, 8).map(prime => fraction(Math.sqrt(prime)))

function isPrime(number: number): boolean {
  for (let divisor = 2; divisor * divisor <= number; divisor += 1) if (number % divisor === 0) return false
  return number > 1
}

function fraction(root: number): number {
  return Math.floor((root % 1) * 2 ** 32) | 0
}

/** The hash in hexadecimal digits. */
export function smallSha256(bytes: Uint8Array): string {
  const words = padded(bytes)
  const state = Int32Array.from(INITIAL)
  const schedule = new Int32Array(64)
  for (let block = 0; block < words.length; block += 16) {
    schedule.set(words.subarray(block, block + 16))
    compress(state, schedule)
  }
  return Array.from(state, word => (word >>> 0).toString(16).padStart(8, '0')).join('')
}

/** The bytes as big-endian words with what ends them: one bit, zeros, and their number of bits. FIPS 180-4 5.1.1 */
function padded(bytes: Uint8Array): Int32Array {
  const words = new Int32Array(((bytes.length + 8) >> 6) * 16 + 16)
  for (let at = 0; at < bytes.length; at += 1) words[at >> 2]! |= bytes[at]! << (24 - (at % 4) * 8)
  words[bytes.length >> 2]! |= 0x80 << (24 - (bytes.length % 4) * 8)
  words[words.length - 1] = bytes.length * 8
  return words
}

/** FIPS 180-4 6.2.2, rotations written out: a call of each costs half of the time. @param w its first sixteen words are the block */
function compress(state: Int32Array, w: Int32Array): void {
  for (let t = 16; t < 64; t += 1) {
    const x = w[t - 15]!
    const y = w[t - 2]!
    const xMixed = ((x >>> 7) | (x << 25)) ^ ((x >>> 18) | (x << 14)) ^ (x >>> 3)
    const yMixed = ((y >>> 17) | (y << 15)) ^ ((y >>> 19) | (y << 13)) ^ (y >>> 10)
    w[t] = w[t - 16]! + xMixed + w[t - 7]! + yMixed
  }
  let [a, b, c, d, e, f, g, h] = state as unknown as [number, number, number, number, number, number, number, number]
  for (let t = 0; t < 64; t += 1) {
    const eMixed = ((e >>> 6) | (e << 26)) ^ ((e >>> 11) | (e << 21)) ^ ((e >>> 25) | (e << 7))
    const aMixed = ((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10))
    const first = h + eMixed + ((e & f) ^ (~e & g)) + ROUND_CONSTANTS[t]! + w[t]!
    const second = aMixed + ((a & b) ^ (a & c) ^ (b & c))
    h = g
    g = f
    f = e
    e = (d + first) | 0
    d = c
    c = b
    b = a
    a = (first + second) | 0
  }
  for (const [index, word] of [a, b, c, d, e, f, g, h].entries()) state[index]! += word
}
