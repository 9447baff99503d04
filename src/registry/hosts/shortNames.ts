import { parseReference, type Reference, shortNameIn } from '../../oci/index.ts'
import { ConfigFiles, type RegistryEnvironment, registryEnvironment } from './configFiles.ts'
import { configInvalid } from './configTable.ts'

/**
 * What a short name is an alias of, with the tag and digest that follow it in `text`; undefined for a name that has no alias, or
 * is none. The registries of `unqualified-search-registries` are not searched: a name would mean what the first of
 * them to have it gives, and without an alias it means Docker Hub's.
 */
export async function aliasedReference(text: string, environment: Partial<RegistryEnvironment>): Promise<Reference | undefined> {
  const name = shortNameIn(text)
  if (name === undefined) return undefined
  const target = (await new ConfigFiles(registryEnvironment(environment)).registriesConf()).aliases.get(name)
  if (target === undefined) return undefined
  if (shortNameIn(target) !== undefined || /[:@][^/]*$/.test(target))
    throw configInvalid('registries.conf', `alias "${name}" stands for no full name without tag and digest`)
  return parseReference(target + text.slice(name.length))
}
