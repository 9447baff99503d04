import type { ContenderName, Verbs } from '../contenders/contender.ts'
import type { Command } from '../measure/measure.ts'
import type { BenchImage } from '../images/catalogue.ts'

/** One contender's store, as a row sees it while it sets the scene. */
export interface Stage {
  readonly verbs: Verbs
  /** A directory for output on the disk that is measured. */
  readonly output: string
  /** The reference under which the full registry has an image. */
  reference(image: BenchImage): string
  /** The path of an image's docker-archive. */
  archive(image: BenchImage): string
  /** Runs a command that is not measured; resolves with its stdout. */
  perform(command: Command): Promise<string>
  /** The address of a registry that has no images when the round begins. */
  readonly emptyRegistry: string
}

/** What Strata's wall time is to be, beside that of another contender in the same round. */
export interface Target {
  /** `best peer`: whichever of the peers is the fastest in this row. */
  readonly against: ContenderName | 'best peer'
  /** At most so many times as long. */
  readonly ratio: number
  /** Worth aiming at, and not demanded. */
  readonly aim?: true
}

/** A line of the table: one command that every contender performs under the same conditions. */
export interface Row {
  readonly name: string
  readonly title: string
  readonly images: readonly BenchImage[]
  /** Where the row reads its images from, so that they can be brought into the page cache first. */
  readonly source: 'registry' | 'archive'
  /** `fresh`: each measured command has a new disk and an empty store; `kept`: a contender's rounds share one. */
  readonly store: 'fresh' | 'kept'
  /** As many as give a steady median and still end while somebody waits. */
  readonly rounds: number
  /** Wants an empty registry in each round. */
  readonly pushes?: true
  /** Who is measured beside Strata unless somebody else is asked for; default: the peers and the floor. */
  readonly against?: readonly ContenderName[]
  readonly targets?: readonly Target[]
  /** Measured right after this one in the same store, if it is asked for too, so that the store is not filled twice. */
  readonly sequel?: Row
  /** What a contender must have a verb for to take part. */
  readonly verbs: readonly (keyof Verbs)[]
  /** Not measured, once per store; not done for a sequel. */
  prepare?(stage: Stage): Promise<unknown>
  /** Not measured, before each round. */
  before?(stage: Stage, round: number): Promise<unknown>
  /** What is measured. */
  command(stage: Stage, round: number): Command
  /** Not measured, after each round. */
  after?(stage: Stage, round: number): Promise<unknown>
}
