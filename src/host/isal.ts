import { crc32, deflateRawSync } from 'node:zlib'
import type { Inflated, Inflater } from '../compression/index.ts'
import { type ForeignFunction, koffi } from './libc.ts'

/*
 * Intel's ISA-L (Debian's libisal2) inflates twice as fast as node:zlib. What is used of `struct inflate_state`
 * (isa-l/igzip_lib.h of 2.30, the same in 2.31), by offset in bytes:
 */
const NEXT_OUT = 0
const AVAIL_OUT = 8
const NEXT_IN = 16
/** Bits that were taken from the input and not used; what follows the last whole byte of deflate data among them. */
const READ_IN = 24
const AVAIL_IN = 32
const READ_IN_BITS = 36
const BLOCK_STATE = 21160
const CHECKSUM = 21172
const CRC = 21176
/** More than the 87,368 bytes that the structure has. */
const STATE_BYTES = 128 * 1024

/** Deflate data alone, and the CRC-32 of what comes out: ISAL_GZIP_NO_HDR */
const RAW_WITH_CRC = 2
/** ISAL_BLOCK_FINISH */
const FINISHED = 5
/** ISAL_DECOMP_OK; errors are below it. */
const OK = 0

interface Library {
  readonly init: ForeignFunction
  readonly inflate: ForeignFunction
  /** Gives back the address of its first parameter. */
  readonly addressOf: (bytes: Uint8Array) => bigint
}

let library: Library | 'none' | undefined

/** An inflater of ISA-L, or undefined where this system has none that works as expected. */
export function isalInflater(): Inflater | undefined {
  library ??= load()
  return library === 'none' ? undefined : new IsalInflater(library)
}

function load(): Library | 'none' {
  try {
    const isal = koffi().load('libisal.so.2')
    const memmove = koffi().load(null).func('uint64_t memmove(void *, void *, uint64_t)')
    const found: Library = {
      init: isal.func('void isal_inflate_init(void *)'),
      inflate: isal.func('int isal_inflate(void *)'),
      addressOf: bytes => BigInt(memmove(bytes, bytes, 0)),
    }
    return works(found) ? found : 'none'
  } catch {
    return 'none'
  }
}

/** Tries it, so that a library with another layout is left alone. */
function works(found: Library): boolean {
  const text = Buffer.from('a layer of a layer of a layer')
  const input = Buffer.concat([deflateRawSync(text), text])
  const output = Buffer.alloc(2 * text.length)
  const state = new State(found)
  state.reset()
  state.offer(input, output)
  if (found.inflate(state.bytes) !== OK) return false
  const { written, left, ended, crc } = state.outcome(input, output)
  return ended && text.equals(output.subarray(0, written)) && text.equals(left) && crc === crc32(text)
}

/** To hand over input of this size to another thread takes longer than to inflate it. */
const SMALL_BYTES = 16 * 1024

class IsalInflater implements Inflater {
  readonly #call: ForeignFunction
  readonly #state: State

  constructor(library: Library) {
    this.#call = library.inflate
    this.#state = new State(library)
  }

  reset(): void {
    this.#state.reset()
  }

  inflate(input: Uint8Array, output: Uint8Array): Promise<Inflated> {
    const state = this.#state
    state.offer(input, output)
    if (input.length <= SMALL_BYTES) return this.#inflateNow(input, output)
    return new Promise((resolve, reject) => {
      this.#call.async(state.bytes, (failure: Error | null, result: number) => {
        if (failure !== null) reject(failure)
        else if (result < OK) reject(new Error(`ISA-L says ${result}`))
        else resolve(state.outcome(input, output))
      })
    })
  }

  async #inflateNow(input: Uint8Array, output: Uint8Array): Promise<Inflated> {
    const result = this.#call(this.#state.bytes)
    if (result < OK) throw new Error(`ISA-L says ${result}`)
    return this.#state.outcome(input, output)
  }
}

/** The structure that a call is given, and what has become of it. */
class State {
  readonly bytes: Buffer = Buffer.alloc(STATE_BYTES)
  readonly #library: Library

  constructor(library: Library) {
    this.#library = library
  }

  reset(): void {
    this.#library.init(this.bytes)
    this.bytes.writeUInt32LE(RAW_WITH_CRC, CHECKSUM)
  }

  offer(input: Uint8Array, output: Uint8Array): void {
    const { bytes } = this
    const { addressOf } = this.#library
    bytes.writeBigUInt64LE(addressOf(input), NEXT_IN)
    bytes.writeUInt32LE(input.length, AVAIL_IN)
    bytes.writeBigUInt64LE(addressOf(output), NEXT_OUT)
    bytes.writeUInt32LE(output.length, AVAIL_OUT)
  }

  outcome(input: Uint8Array, output: Uint8Array): Inflated {
    const { bytes } = this
    const ended = bytes.readUInt32LE(BLOCK_STATE) === FINISHED
    const unread = input.subarray(input.length - bytes.readUInt32LE(AVAIL_IN))
    return {
      written: output.length - bytes.readUInt32LE(AVAIL_OUT),
      left: ended ? Buffer.concat([this.#taken(), unread]) : unread,
      ended,
      crc: bytes.readUInt32LE(CRC),
    }
  }

  /** The whole bytes among the bits that were taken and not used. */
  #taken(): Buffer {
    const bits = this.bytes.readInt32LE(READ_IN_BITS)
    const taken = Buffer.alloc(8)
    taken.writeBigUInt64LE(this.bytes.readBigUInt64LE(READ_IN) >> BigInt(bits % 8))
    return taken.subarray(0, Math.floor(bits / 8))
  }
}
