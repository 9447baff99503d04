import { join } from 'node:path'
import { busyboxRootfs } from '../../scripts/fixtures/rootFilesystems.ts'
import { archivePath, type BenchImage, layoutPath } from './catalogue.ts'
import { bootstrap, changeApplication, installModules, installPackages } from './debian.ts'
import { writeArchive, writeLayout } from './imageFiles.ts'
import type { Scale } from './scale.ts'
import { bigFileLayer, helloLayer, manyImagesArchive, manyLayers } from './synthetic.ts'
import { describeFile, exists, packTree, packUpper, Workshop, writeWhole } from './workshop.ts'

/**
 * Makes those of the images that are not there, each as an OCI layout and as a docker-archive below
 * `root/images`. A step that has been finished once is not done again. Needs root, overlayfs and
 * the network for what comes from Debian and npm.
 */
export async function makeImages(wanted: ReadonlySet<BenchImage>, root: string, scale: Scale): Promise<void> {
  const workshop = new Workshop(root)
  for (const image of wanted) {
    const [layout, archive] = [layoutPath(workshop.images, image), archivePath(workshop.images, image)]
    if (image === 'thousand') {
      if (!(await exists(archive))) await writeWhole(archive, manyImagesArchive(scale.manyImages))
      continue
    }
    const [hasLayout, hasArchive] = [await exists(join(layout, 'index.json')), await exists(archive)]
    if (hasLayout && hasArchive) continue
    const layers = await Promise.all((await layersOf(image, workshop, scale)).map(describeFile))
    const command = [image === 'hello' || image === 'many-layers' ? '/hello' : 'sh']
    console.error(`images: writing ${image}: ${layers.length} layers, ${layers.reduce((sum, layer) => sum + layer.size, 0)} bytes`)
    if (!hasLayout) await writeLayout(workshop, layout, layers, command)
    if (!hasArchive) await writeArchive(archive, image, layers, command)
  }
}

/** The paths of an image's plain layers, the base first. */
async function layersOf(image: Exclude<BenchImage, 'thousand'>, workshop: Workshop, scale: Scale): Promise<readonly string[]> {
  switch (image) {
    case 'hello':
      return [await workshop.layer('hello', helloLayer)]
    case 'busybox':
      return [await busyboxRootfs()]
    case 'deb':
      return [await debianLayer(workshop)]
    case 'node-big':
      return nodeBigLayers(workshop, scale)
    case 'many-layers': {
      const paths: string[] = []
      for (const [index, bytes] of manyLayers(scale.manyLayers).entries()) {
        paths.push(await workshop.layer(`many/l${String(index).padStart(3, '0')}`, () => bytes))
      }
      return paths
    }
    case 'bigfile':
      return [await debianLayer(workshop), await workshop.layer('bigfile', () => bigFileLayer(scale.bigFileMebibytes))]
    default:
      return image satisfies never
  }
}

async function debianTree(workshop: Workshop): Promise<string> {
  return workshop.tree('deb-rootfs', bootstrap)
}

async function debianLayer(workshop: Workshop): Promise<string> {
  return workshop.layer('deb', async () => packTree(await debianTree(workshop)))
}

async function nodeBigLayers(workshop: Workshop, scale: Scale): Promise<readonly string[]> {
  const layers = [await debianLayer(workshop)]
  let lowers: readonly string[] = [await debianTree(workshop)]
  const steps: readonly (readonly [string, (merged: string) => Promise<void>])[] = [
    ['nb-apt', async merged => installPackages(merged, scale.packages)],
    ['nb-npm', async merged => installModules(merged, scale.dependencies, join(workshop.root, 'npm-cache'))],
    ...[1, 2, 3, 4, 5].map(step => [`nb-m${step}`, async (merged: string) => changeApplication(merged, step, scale.changedFiles)] as const),
  ]
  for (const [name, change] of steps) {
    const below = lowers
    const upper = await workshop.upper(name, below, change)
    layers.push(await workshop.layer(name, () => packUpper(upper, below)))
    lowers = [upper, ...below]
  }
  return layers
}
