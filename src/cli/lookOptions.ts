import { flag, type OptionSpec, text } from './options.ts'

interface LookValues {
  readonly platform: string | undefined
  readonly remote: boolean
}

/** Flags of the verbs that look into images. */
export function lookOptions(): { readonly [K in keyof LookValues]: OptionSpec<LookValues[K]> } {
  return {
    platform: text('Platform of the image (os[/arch[/variant]])'),
    remote: flag(
      'From the registry, also when the image is here. Only the layers that are needed are fetched: parts of one with a table of contents (eStargz, zstd:chunked), the whole of any other; nothing is printed that was not verified',
    ),
  }
}

export function lookValues({ platform, remote }: LookValues): { readonly remote: boolean; readonly platform?: string } {
  return { remote, ...(platform === undefined ? {} : { platform }) }
}
