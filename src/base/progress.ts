/** One step of some long work on one thing. Surfaces draw bars or lines from it; libraries only report. */
export interface Progress {
  /** What is worked on, short: the first twelve hex digits of a digest, a file name. */
  readonly id: string
  /** What happens to it, in docker's words where docker has them: `Downloading`, `Pull complete`. */
  readonly status: string
  /** Bytes done and in all, while they are known. */
  readonly current?: number
  readonly total?: number
}

export type ProgressListener = (progress: Progress) => void

/** What every long call takes. */
export interface CallOptions {
  readonly signal?: AbortSignal
  readonly onProgress?: ProgressListener
}
