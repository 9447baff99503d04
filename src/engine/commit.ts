import { type CallOptions, StrataError } from '../base/index.ts'
import type { Containers } from '../container/index.ts'
import { changeConfig, composeImage, takeNewLayer } from '../image/index.ts'
import { type ImageConfig, type ImageId, parseReference, type ProcessConfig, withDefaultTag } from '../oci/index.ts'
import type { CommitOptions } from './containers.ts'
import { readConfig } from './imageConfig.ts'
import type { Stores } from './stores.ts'

/** Freezes a container layer as the top layer of a new image, with the container's own config and what the user changes in it. */
export async function commitContainer(
  stores: Stores,
  containers: Containers,
  container: string,
  options: CommitOptions & CallOptions,
): Promise<{ readonly imageId: string }> {
  const name = options.reference === undefined ? undefined : withDefaultTag(parseReference(options.reference))
  const source = await containers.commitSource(container, { ...(options.pause === undefined ? {} : { pause: options.pause }) })
  const base = stores.images.withId(source.imageId as ImageId)[0]
  if (base === undefined) {
    await source.layer[Symbol.asyncIterator]().return?.()
    throw new StrataError('notFound', 'STRATA_NO_SUCH_IMAGE', `Cannot commit container "${container}": its image ${source.imageId} is gone`)
  }
  await using lease = stores.leases.create()
  const snapshots = await stores.snapshots()
  const layer = await takeNewLayer(source.layer, base.diffIds, {
    layers: stores.layers,
    snapshots,
    lease,
    ...(options.signal === undefined ? {} : { signal: options.signal }),
  })
  const { config: old } = await readConfig(stores, base)
  const created = new Date().toISOString()
  const changed = changeConfig(source.config as ProcessConfig, options.changes ?? [])
  const config: ImageConfig = {
    ...old,
    created,
    ...(options.author === undefined ? {} : { author: options.author }),
    config: changed,
    rootfs: { type: 'layers', diff_ids: [...base.diffIds, layer.diffId] },
    history: [
      ...(old.history ?? base.diffIds.map(() => ({}))),
      {
        created,
        ...(options.author === undefined ? {} : { author: options.author }),
        created_by: [...(source.config.Entrypoint ?? []), ...(source.config.Cmd ?? [])].join(' '),
        ...(options.message === undefined ? {} : { comment: options.message }),
      },
    ],
  }
  const facts = await composeImage(config, Buffer.from(JSON.stringify(config)), {
    content: stores.content,
    layers: stores.layers,
    lease,
    parentId: base.id,
  })
  stores.recordImage(facts, name === undefined ? [] : [name])
  return { imageId: facts.id }
}
