import { join } from 'node:path'

export const BENCH_IMAGES = ['hello', 'busybox', 'deb', 'node-big', 'many-layers', 'bigfile', 'thousand'] as const

/**
 * What is measured with: `deb` is a minimal Debian; `node-big` that, a layer of apt (compiler, Node), a large npm
 * install and five small layers that change and delete files (8 layers, 131,000 entries, 1.6 GB);
 * `many-layers` has 100 of 20 files; `bigfile` Debian and a file of 1 GiB; `thousand` is one
 * archive of 1,000 images that share one small layer.
 */
export type BenchImage = (typeof BENCH_IMAGES)[number]

/** The directory of an image's OCI layout below the directory of images. */
export function layoutPath(images: string, image: BenchImage): string {
  return join(images, 'oci', image)
}

/** The path of an image's docker-archive below the directory of images. */
export function archivePath(images: string, image: BenchImage): string {
  return image === 'thousand' ? join(images, 'thousand.tar') : join(images, 'docker-archive', `${image}.tar`)
}

/** The full name that an image has in its archive. */
export function imageName(image: string, tag = 'latest'): string {
  return `docker.io/bench/${image}:${tag}`
}
