import { randomInt } from 'node:crypto'
import { StrataError } from '../base/index.ts'

const ADJECTIVES = `agile amber ample azure balmy blithe bold brave breezy bright brisk calm candid cheery clever cosmic
  crisp curious dapper daring deft devout dreamy eager early earnest elated elegant fair fancy fearless festive fleet fluent
  frank fresh gallant gentle giddy gleeful golden graceful grand happy hardy hasty hearty honest humble jaunty jolly keen kind
  lively loyal lucid lucky mellow merry mighty modest neat nimble noble patient placid plucky polite proud quick quiet radiant
  rapid ready robust rosy rustic serene sharp shiny silent sincere sleek smart snug solid spry stable steady sunny swift tender
  tidy tranquil true upbeat valiant vivid warm wise witty zesty`.split(/\s+/)

const NOUNS = `agate alabaster amethyst andesite anthracite aquifer arkose basalt basin bedrock beryl breccia butte calcite
  canyon cavern chalk chert cinnabar clay cliff cobble coral crag crater crystal delta diorite dolomite dune emerald escarpment
  feldspar fjord flint fluorite fossil gabbro garnet geode geyser glacier gneiss granite graphite gravel grotto gypsum halite
  hematite jade jasper karst lagoon lava limestone loam loess magma magnetite malachite marble marl mesa mica moraine obsidian
  onyx opal outcrop pebble peridot plateau porphyry pumice pyrite quarry quartz ravine reef rhyolite ridge ruby sandstone
  sapphire schist sediment shale silica slate spinel summit talc topaz travertine tuff turquoise vale zircon`.split(/\s+/)

/** `adjective_noun`; from the third try on with a digit, so that a crowded store finds a free one soon. */
export function randomName(attempt = 0): string {
  const name = `${ADJECTIVES[randomInt(ADJECTIVES.length)]}_${NOUNS[randomInt(NOUNS.length)]}`
  return attempt < 2 ? name : `${name}${randomInt(10 ** Math.min(attempt - 1, 9))}`
}

/** Names become host names and arguments; docker's grammar. @param kind `container` or `volume` */
export function checkName(kind: string, name: string): string {
  if (/^[a-zA-Z0-9][a-zA-Z0-9_.-]+$/.test(name) && name.length <= 255) return name
  throw new StrataError(
    'invalidArgument',
    'STRATA_INVALID_NAME',
    `Cannot use ${kind} name "${name}": only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed, and at least two of them`,
  )
}
