import type { BenchImage } from './catalogue.ts'
export async function makeImages(_wanted: ReadonlySet<BenchImage>): Promise<void> {}
