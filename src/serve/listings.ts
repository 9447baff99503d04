import { answerJson, type Exchange } from './exchange.ts'
import { type Page, pageOf } from './pages.ts'
import type { Repositories } from './repositories.ts'
import type { Upstream } from './upstream.ts'

/** Lists of tags and of repositories. */
export class Listings {
  readonly #repositories: Repositories
  readonly #upstream: Upstream | undefined

  constructor(repositories: Repositories, upstream: Upstream | undefined) {
    this.#repositories = repositories
    this.#upstream = upstream
  }

  /** distribution-spec "Listing Tags" */
  async tags(exchange: Exchange): Promise<void> {
    const { name, query } = exchange
    const upstream = await this.#upstream?.tags(exchange)
    if (upstream === undefined) this.#repositories.require(name)
    const page = pageOf(upstream ?? this.#repositories.tags(name).keys(), query)
    answerJson(exchange, { name, tags: page.items }, linkTo(`/v2/${name}/tags/list`, page))
  }

  /** The repositories that are here. Not in the distribution-spec; docker's registry has it. */
  async catalog(exchange: Exchange): Promise<void> {
    const page = pageOf(this.#repositories.names.repositories.keys(), exchange.query)
    answerJson(exchange, { repositories: page.items }, linkTo('/v2/_catalog', page))
  }
}

const linkTo = (path: string, { next }: Page): Readonly<Record<string, string>> =>
  next === undefined ? {} : { link: `<${path}?${next}>; rel="next"` }
