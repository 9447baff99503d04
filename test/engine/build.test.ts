import assert from 'node:assert/strict'
import { copyFile, mkdir, mkdtemp, rm, symlink, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { findProgram } from '../../src/base/index.ts'
import { must } from '../support/commands.ts'
import { type BuildImageOptions, type Engine, openEngine } from '../../src/engine/index.ts'

/* Real builds in a real store: what the image is, what is taken from the cache, and what is refused. */

let scratch: string
let engine: Engine
let busybox: string | undefined

before(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'strata-build-'))
  engine = await openEngine({ root: join(scratch, 'root') })
  busybox = await findProgram('busybox')
})
after(async () => {
  await engine.close()
  await rm(scratch, { recursive: true, force: true })
})

let folders = 0

/** A folder with a Dockerfile and other files; `true` is busybox. */
async function folder(dockerfile: string, files: Readonly<Record<string, string | true>> = {}): Promise<string> {
  const directory = join(scratch, `context${(folders += 1)}`)
  for (const [path, content] of Object.entries<string | true>({ Dockerfile: dockerfile, ...files })) {
    await mkdir(dirname(join(directory, path)), { recursive: true })
    if (content === true) await copyFile(busybox!, join(directory, path))
    else await writeFile(join(directory, path), content)
  }
  return directory
}

interface Built {
  readonly imageId: string
  /** What each step was: `cached RUN a`. */
  readonly steps: readonly string[]
  readonly output: string
  /** How they began and ended, in order. */
  readonly events: readonly string[]
}

async function build(context: string, options: BuildImageOptions = {}): Promise<Built> {
  const events: string[] = []
  let output = ''
  const { imageId } = await engine.build(context, {
    ...options,
    onEvent: event => {
      if (event.kind === 'output') output += Buffer.from(event.chunk).toString()
      else events.push(`${event.kind} ${event.step.text}`)
    },
  })
  return { imageId, steps: events.filter(event => !event.startsWith('begun ')), output, events }
}

/** All files of an image: type, owner, mode, and size or target. */
async function treeOf(imageId: string): Promise<Readonly<Record<string, string>>> {
  const tree: Record<string, string> = {}
  for await (const { directory = '/', files } of engine.listDirectory(imageId, '/', { recursive: true })) {
    for (const { name, type, mode, uid, gid, size, linkTarget } of files)
      tree[join(directory, name)] = `${type} ${uid}:${gid} ${mode.toString(8)} ${linkTarget ?? (type === 'file' ? size : '')}`.trim()
  }
  return tree
}

test('build: files, links, owners and modes come in as COPY says, and the config as the other instructions say', async () => {
  const context = await folder(
    `FROM scratch AS files
    COPY a.txt dir /in/
    COPY --chmod=4755 --chown=5:6 a.txt /in/other
    FROM files
    WORKDIR /made/here
    COPY --from=files --exclude=x /in ./
    ENV A=1 B="two words" C=$A
    LABEL l="$B"
    EXPOSE 80
    VOLUME /data
    USER 7
    SHELL ["/sh", "-c"]
    ENTRYPOINT ["/in/other"]
    CMD run it
    MAINTAINER somebody`,
    { 'a.txt': 'hello', 'dir/x': 'x', 'dir/y/z': 'z', '.dockerignore': '**/z\n' },
  )
  const { imageId } = await build(context, { tags: ['built:1'] })
  assert.deepEqual(await treeOf('built:1'), {
    '/in': 'directory 0:0 755',
    '/in/a.txt': 'file 0:0 644 5',
    '/in/other': 'file 5:6 4755 5',
    '/in/x': 'file 0:0 644 1',
    '/in/y': 'directory 0:0 755',
    '/made': 'directory 0:0 755',
    '/made/here': 'directory 0:0 755',
    '/made/here/a.txt': 'file 0:0 644 5',
    '/made/here/other': 'file 5:6 4755 5',
    '/made/here/y': 'directory 0:0 755',
  })
  const { Config, Author, Id, RootFS } = await engine.inspectImage('built:1')
  assert.equal(Id, imageId)
  assert.equal(Author, 'somebody')
  assert.equal(RootFS.Layers?.length, 4)
  assert.deepEqual(
    [
      Config.Env?.slice(1),
      Config.Labels,
      Config.ExposedPorts,
      Config.Volumes,
      Config.User,
      Config.WorkingDir,
      Config.Entrypoint,
      Config.Cmd,
    ],
    [
      ['A=1', 'B=two words', 'C='],
      { l: 'two words' },
      { '80/tcp': {} },
      { '/data': {} },
      '7',
      '/made/here',
      ['/in/other'],
      ['/sh', '-c', 'run it'],
    ],
  )
})

test('build: the same inputs give the same image, whenever they were written; what changes is built anew, and all after it', async () => {
  const text = 'FROM scratch\nCOPY a /a\nLABEL x=1\nCOPY b /b\n'
  const context = await folder(text, { a: '1', b: '1' })
  const first = await build(context)
  for (const name of ['a', 'b']) await utimes(join(context, name), 1, 1)
  const again = await build(context)
  assert.equal(again.imageId, first.imageId)
  assert.deepEqual(again.steps, ['cached COPY a /a', 'done LABEL x=1', 'cached COPY b /b'])
  await writeFile(join(context, 'b'), '2')
  assert.deepEqual((await build(context)).steps, ['cached COPY a /a', 'done LABEL x=1', 'done COPY b /b'])
  await writeFile(join(context, 'b'), '1')
  // Another label is another chain: nothing that stands on it is what stood on the first one.
  await writeFile(join(context, 'Dockerfile'), text.replace('x=1', 'x=2'))
  assert.deepEqual((await build(context)).steps, ['cached COPY a /a', 'done LABEL x=2', 'done COPY b /b'])
  assert.deepEqual((await build(context, { noCache: true })).steps, ['done COPY a /a', 'done LABEL x=2', 'done COPY b /b'])
})

test('build: what the cache has stays when images go, until it goes itself', async () => {
  const context = await folder('FROM scratch\nCOPY Dockerfile /kept\n')
  const { imageId } = await build(context)
  await engine.removeImage(imageId)
  await engine.pruneImages({ all: true })
  const again = await build(context)
  assert.deepEqual([again.imageId, again.steps], [imageId, ['cached COPY Dockerfile /kept']])
  assert.deepEqual(Object.keys(await treeOf(imageId)), ['/kept'])
  await engine.removeImage(imageId)
  assert.deepEqual((await engine.pruneBuildCache({ until: new Date(0) })).removed, [])
  const { removed, reclaimedBytes } = await engine.pruneBuildCache()
  assert.ok(removed.length > 0)
  assert.ok(reclaimedBytes > 0)
  assert.deepEqual((await build(context)).steps, ['done COPY Dockerfile /kept'])
})

test('build: errors say what is wrong, and leave no image', async () => {
  const faults: readonly (readonly [dockerfile: string, code: string])[] = [
    ['FROM scratch\nCOPY nothing /x', 'STRATA_NO_SUCH_SOURCE'],
    ['FROM scratch\nCOPY ../../etc/passwd /x', 'STRATA_NO_SUCH_SOURCE'],
    ['FROM scratch\nCOPY --chown=nobody a /x', 'STRATA_NO_SUCH_USER'],
    ['FROM scratch\nFORM x', 'STRATA_DOCKERFILE_INVALID'],
    ['FROM scratch\nSTOPSIGNAL NONE', 'STRATA_DOCKERFILE_INSTRUCTION'],
    ['FROM scratch\nADD https://example.invalid/x /x', 'STRATA_BUILD_UNSUPPORTED'],
    ['FROM scratch\nRUN --mount=type=ssh true', 'STRATA_BUILD_UNSUPPORTED'],
    ['FROM scratch\nRUN --mount=type=cache,from=x,target=/c true', 'STRATA_BUILD_UNSUPPORTED'],
  ]
  const before = (await engine.images({ all: true })).length
  for (const [dockerfile, code] of faults) await assert.rejects(build(await folder(dockerfile, { a: '' })), { code }, dockerfile)
  await assert.rejects(build(join(scratch, 'nowhere')), { kind: 'notFound', message: /^Cannot read the Dockerfile/ })
  assert.equal((await engine.images({ all: true })).length, before)
})

test('build: ADD unpacks what is an archive, whatever it is called, and copies anything else', async () => {
  const context = await folder('FROM scratch\nADD rootfs gz plain.tar /at/\nADD --unpack=false gz /kept/\nADD --chown=9:9 rootfs /owned\n')
  const tree = join(context, 'tree')
  await mkdir(join(tree, 'd'), { recursive: true })
  await writeFile(join(tree, 'd/f'), 'text')
  await symlink('f', join(tree, 'd/l'))
  await must('tar', '--owner=5', '--group=6', '--mode=u=rwX,go=rX', '-C', tree, '-cJf', join(context, 'rootfs'), 'd')
  await writeFile(join(context, 'plain.tar'), 'no archive')
  await must('sh', '-c', `echo no archive either | gzip > ${join(context, 'gz')}`)
  const { imageId } = await build(context)
  const { '/at/gz': gz, '/kept/gz': kept, ...others } = await treeOf(imageId)
  assert.equal(gz, kept)
  assert.deepEqual(others, {
    '/at': 'directory 0:0 755',
    '/at/d': 'directory 5:6 755',
    '/at/d/f': 'file 5:6 644 4',
    '/at/d/l': 'symlink 5:6 777 f',
    '/at/plain.tar': 'file 0:0 644 10',
    '/kept': 'directory 0:0 755',
    '/owned': 'directory 9:9 755',
    '/owned/d': 'directory 9:9 755',
    '/owned/d/f': 'file 9:9 644 4',
    '/owned/d/l': 'symlink 9:9 777 f',
  })
})

test('build: here-documents become files, whatever they are called', async () => {
  const context = await folder('FROM scratch\nCOPY <<a <<b/c <<a Dockerfile /x/\nfirst\na\nb\nb/c\nlast\na\n')
  const { imageId } = await build(context)
  assert.deepEqual(Object.keys(await treeOf(imageId)), ['/x', '/x/Dockerfile', '/x/a', '/x/c'])
  assert.equal(Buffer.concat(await Array.fromAsync(await engine.readFile(imageId, '/x/a'))).toString(), 'last\n')
})

test('build: a link in the context leads nowhere outside of it', async () => {
  const context = await folder('FROM scratch\nCOPY link /x\n')
  await symlink('/etc/passwd', join(context, 'link'))
  await assert.rejects(build(context), { code: 'STRATA_NO_SUCH_SOURCE' })
})

describe('build: RUN', { skip: process.getuid?.() === 0 ? false : 'running containers needs root' }, () => {
  const BASE = 'FROM scratch AS base\nCOPY --chmod=755 busybox /bin/busybox\nRUN ["/bin/busybox", "--install", "-s", "/bin"]\n'

  test('runs commands in the stage’s shell, environment and directory, with the arguments that it has declared', async () => {
    const context = await folder(
      `${BASE}ARG WHO=nobody\nARG HTTP_PROXY\nENV E=env\nWORKDIR /w\nRUN echo "$WHO $E $PWD $HTTP_PROXY" | tee said\nRUN <<EOF\nset -e\nmkdir /made\nrm said\nEOF\n`,
      { busybox: true },
    )
    const options = { buildArguments: { WHO: 'me', HTTP_PROXY: 'http://proxy.invalid' } }
    const { imageId, output } = await build(context, options)
    assert.equal(output, 'me env /w http://proxy.invalid\n')
    const tree = await treeOf(imageId)
    assert.deepEqual([tree['/w/said'], tree['/made']], [undefined, 'directory 0:0 755'])
    const history = await engine.history(imageId)
    assert.ok(
      history.some(({ createdBy }) => createdBy.startsWith('RUN |1 WHO=me /bin/sh -c echo')),
      'the proxy stands in no history',
    )
    // Another proxy changes nothing, another argument does.
    const other = await build(context, { buildArguments: { WHO: 'me', HTTP_PROXY: 'http://other.invalid' } })
    assert.equal(other.imageId, imageId)
    assert.notEqual((await build(context, { buildArguments: { WHO: 'you' } })).imageId, imageId)
    assert.deepEqual(await engine.containers({ all: true }), [])
  })

  test('sees what a cache mount has kept, and nothing of that or of a tmpfs is in its layer', async () => {
    const count = '--mount=type=cache,id=../../count,target=kept,mode=0700 --mount=type=tmpfs,target=/t'
    const context = await folder(
      `${BASE}WORKDIR /w\nRUN ${count} echo x >> kept/f && touch /t/gone && wc -l < kept/f && stat -c %a kept\n`,
      { busybox: true },
    )
    assert.equal((await build(context)).output, '1\n700\n')
    const { output, imageId } = await build(context, { noCache: true })
    assert.equal(output, '2\n700\n')
    const tree = await treeOf(imageId)
    assert.deepEqual(
      Object.keys(tree).filter(path => /^\/(?:w|t)/.test(path)),
      ['/w'],
    )
  })

  test('waits for a locked cache mount, and takes another one where a private one is in use', async () => {
    const run = (name: string, sharing: string): string =>
      `FROM base AS ${name}\nRUN --mount=type=cache,target=/c,id=${sharing},sharing=${sharing} if [ -e /c/busy ]; then echo met > /${name}; fi; touch /c/busy; sleep 1; rm /c/busy; touch /${name}\n`
    for (const sharing of ['locked', 'private']) {
      const copies = 'FROM base\nCOPY --from=a /a /\nCOPY --from=b /b /\n'
      const { imageId } = await build(await folder(`${BASE}${run('a', sharing)}${run('b', sharing)}${copies}`, { busybox: true }))
      const tree = await treeOf(imageId)
      assert.deepEqual([tree['/a'], tree['/b']], ['file 0:0 644 0', 'file 0:0 644 0'], sharing)
    }
  })

  test('keeps what it puts where the image has a volume, and heeds no entrypoint', async () => {
    const context = await folder(`${BASE}VOLUME /data\nENTRYPOINT ["/nothing"]\nRUN mkdir /data; echo x > /data/kept\n`, { busybox: true })
    const { imageId } = await build(context)
    assert.equal((await treeOf(imageId))['/data/kept'], 'file 0:0 644 2')
    assert.deepEqual(await engine.volumes(), [])
  })

  test('ends at once when the build is stopped, and leaves no container', async () => {
    const context = await folder(`${BASE}RUN echo begun; sleep 60\n`, { busybox: true })
    const stop = new AbortController()
    const started = performance.now()
    const stopped = engine.build(context, {
      signal: stop.signal,
      onEvent: event => {
        if (event.kind === 'output') stop.abort(new Error('enough'))
      },
    })
    await assert.rejects(stopped, { message: 'enough' })
    assert.ok(performance.now() - started < 30_000)
    assert.deepEqual(await engine.containers({ all: true }), [])
  })

  test('of a trigger runs in the stage that stands on its image', async () => {
    const trigger = await folder(`${BASE}ONBUILD RUN <<EOF\necho triggered > /t\nEOF\nONBUILD COPY Dockerfile /d\n`, { busybox: true })
    await build(trigger, { tags: ['trigger:1'] })
    const { imageId } = await build(await folder('FROM trigger:1\nRUN test -e /t\n'))
    const tree = await treeOf(imageId)
    assert.deepEqual([tree['/t'], '/d' in tree], ['file 0:0 644 10', true])
    assert.equal((await engine.inspectImage(imageId)).Config.OnBuild, undefined)
  })

  test('that fails says its exit code, leaves no container, and what was done before counts for the next build', async () => {
    const context = await folder(`${BASE}RUN echo before > /before\nRUN echo oh >&2; exit 3\n`, { busybox: true })
    await assert.rejects(build(context), { code: 'STRATA_BUILD_STEP_FAILED', message: /ended with exit code 3$/ })
    assert.deepEqual(await engine.containers({ all: true }), [])
    await writeFile(join(context, 'Dockerfile'), `${BASE}RUN echo before > /before\nRUN true\n`)
    assert.deepEqual((await build(context)).steps.slice(-2), ['cached RUN echo before > /before', 'done RUN true'])
  })

  test('stages that do not need each other run at the same time, and what the target does not need not at all', async () => {
    const slow = (name: string): string => `FROM base AS ${name}\nRUN sleep 1; touch /${name}\n`
    const context = await folder(
      `${BASE}${slow('a')}${slow('b')}FROM base AS unused\nRUN exit 9\nFROM base\nCOPY --from=a /a /\nCOPY --from=b /b /\n`,
      { busybox: true },
    )
    const { steps, events, imageId } = await build(context)
    assert.ok(!steps.some(step => step.includes('exit 9')))
    const at = (event: string): number => events.findIndex(each => each.startsWith(event))
    assert.ok(at('begun RUN sleep 1; touch /b') < at('done RUN sleep 1; touch /a'), events.join('\n'))
    assert.ok(at('begun RUN sleep 1; touch /a') < at('done RUN sleep 1; touch /b'), events.join('\n'))
    const tree = await treeOf(imageId)
    assert.ok('/a' in tree && '/b' in tree)
  })
})
