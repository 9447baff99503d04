import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseDockerfile } from '../dockerfile/index.ts'
import { type BuildPlan, planBuild, type PlanOptions } from './plan.ts'
import { StageScope } from './scope.ts'

const LINUX = { os: 'linux', architecture: 'amd64' } as const

function plan(text: string, options: Partial<PlanOptions> = {}): BuildPlan {
  const { buildArguments = new Map(), contexts = new Set(), platform = LINUX, buildPlatform = LINUX, ...target } = options
  return planBuild(parseDockerfile(text), { buildArguments, contexts, platform, buildPlatform, ...target })
}

const numbersOf = ({ stages }: BuildPlan): readonly number[] => stages.map(({ number }) => number)

test('planBuild() takes the stages that the target needs, each after what it needs, and no others', () => {
  const text = `FROM debian AS base
    FROM base AS unused
    FROM alpine AS tool
    FROM base AS app
    COPY --from=tool /a /b
    RUN --mount=type=bind,from=files,target=/x --mount=type=cache,target=/c make
    FROM busybox AS files
    FROM scratch
    COPY --from=app / /
    COPY --from=0 /x /y`
  assert.deepEqual(numbersOf(plan(text)), [0, 2, 3, 5])
  assert.deepEqual(numbersOf(plan(text, { target: 'APP' })), [0, 2, 3])
  assert.deepEqual(numbersOf(plan(text, { target: '1' })), [0, 1])
  const { stages, originOf } = plan(text)
  // A stage that comes later is none yet: the name means an image.
  assert.deepEqual(originOf(stages[2]!, 'files'), { kind: 'image', reference: 'files' })
  assert.deepEqual(originOf(stages[3]!, 'Tool'), { kind: 'stage', number: 2 })
  assert.deepEqual(
    stages.map(({ base }) => base),
    [{ kind: 'image', reference: 'debian' }, { kind: 'image', reference: 'alpine' }, { kind: 'stage', number: 0 }, { kind: 'scratch' }],
  )
  assert.throws(() => plan(text, { target: 'nope' }), { code: 'STRATA_NO_SUCH_STAGE', hint: 'It has base, unused, tool, app, files.' })
})

test('planBuild() gives a name that several stages have to the last before, and a named context before all', () => {
  const text = 'FROM a AS x\nFROM b AS x\nFROM x\nCOPY --from=y / /'
  const last = plan(text, { contexts: new Set(['y']) })
  assert.deepEqual(numbersOf(last), [1, 2])
  assert.deepEqual(last.originOf(last.stages[1]!, 'y'), { kind: 'context', name: 'y' })
  assert.deepEqual(plan(text, { contexts: new Set(['x']) }).stages[0]!.base, { kind: 'context', name: 'x' })
})

test('planBuild() resolves FROM with the arguments before it and those of the platforms', () => {
  const text = `ARG V=1
    ARG NAME=debian:$V
    FROM --platform=$BUILDPLATFORM \${NAME} AS a
    FROM img-$TARGETARCH$TARGETVARIANT`
  const options = { platform: { os: 'linux', architecture: 'arm', variant: 'v7' }, target: '0' } as const
  const [stage] = plan(text, { ...options, buildArguments: new Map([['V', '13']]) }).stages
  assert.deepEqual([stage!.base, stage!.platform], [{ kind: 'image', reference: 'debian:13' }, 'linux/amd64'])
  assert.deepEqual(plan(text, { ...options, target: '1' }).stages[0]!.base, { kind: 'image', reference: 'img-armv7' })
  assert.throws(() => plan('ARG X\nFROM $X'), { code: 'STRATA_DOCKERFILE_INVALID', message: /line 2: the name of the base image is empty/ })
})

test('StageScope: an argument has what was given, its default, or what the file says before FROM; the environment hides it', () => {
  const { scope } = plan('ARG G=global\nARG H\nFROM x', {
    buildArguments: new Map([
      ['GIVEN', 'g'],
      ['H', 'h'],
    ]),
  })
  const stage = new StageScope(scope, new Map([['ENV', 'e']]))
  const value = (name: string): string | undefined => stage.expansion.lookup(name)
  assert.equal(value('G'), undefined)
  stage.declare({
    name: 'ARG',
    pairs: [
      ['G', undefined],
      ['H', undefined],
      ['GIVEN', 'default'],
      ['D', '$G-d'],
      ['NONE', undefined],
      ['ENV', 'arg'],
    ],
  })
  assert.deepEqual(['G', 'H', 'GIVEN', 'D', 'NONE', 'ENV'].map(value), ['global', 'h', 'g', 'global-d', undefined, 'e'])
  assert.deepEqual(stage.arguments, [
    ['D', 'global-d'],
    ['G', 'global'],
    ['GIVEN', 'g'],
    ['H', 'h'],
  ])
  stage.environment = new Map([['D', 'hidden']])
  assert.equal(value('D'), 'hidden')
})
