import type { Command } from './command.ts'

/** Loads a verb's module; a command pays only for what it uses. */
export type LoadCommand = () => Promise<Command>

export interface CommandEntry {
  /** One word, or a group and a word: `ps`, `container ls`. */
  readonly path: string
  readonly summary: string
  readonly load: LoadCommand
  /** True for a second spelling (`image list`), which lists leave out. */
  readonly unlisted: boolean
}

/** The groups of verbs, with their summaries. */
export const GROUPS: Readonly<Record<string, string>> = {
  artifact: 'Manage what is kept under a name and is no image',
  builder: 'Manage what builds have kept',
  container: 'Manage containers',
  image: 'Manage images',
  manifest: 'Look at image manifests',
  network: 'Manage networks',
  system: 'Manage the installation',
  volume: 'Manage volumes',
}

type Module = Promise<{ readonly command: Command }>

/** A verb with all its spellings; those that start with `~` are left out of lists. */
function verb(paths: string, summary: string, load: () => Module): readonly CommandEntry[] {
  const loadCommand = async (): Promise<Command> => (await load()).command
  return paths.split(', ').map(path => ({
    path: path.replace('~', ''),
    summary,
    load: loadCommand,
    unlisted: path.startsWith('~'),
  }))
}

export const COMMANDS: readonly CommandEntry[] = [
  ...verb('run, container run', 'Make a container from an image and run it', () => import('./commands/run.ts')),
  ...verb('exec, container exec', 'Run one more process in a running container', () => import('./commands/exec.ts')),
  ...verb('ps, container ls, ~container list, ~container ps', 'List containers', () => import('./commands/ps.ts')),
  ...verb('build, image build', 'Make an image as a Dockerfile says', () => import('./commands/build.ts')),
  ...verb('builder prune, ~buildx prune', 'Remove what builds have kept for later ones', () => import('./commands/builderPrune.ts')),
  ...verb('pull, image pull', 'Get an image from a registry', () => import('./commands/pull.ts')),
  ...verb('push, image push', 'Send an image to a registry', () => import('./commands/push.ts')),
  ...verb('images, image ls, ~image list', 'List images', () => import('./commands/images.ts')),
  ...verb('version', 'Show version information', () => import('./commands/version.ts')),
  ...verb('info, system info', 'Show what this installation is and can do', () => import('./commands/info.ts')),
  ...verb('attach, container attach', 'Connect stdin, stdout and stderr to a running container', () => import('./commands/attach.ts')),
  ...verb('cat', 'Print files of images, here or in a registry', () => import('./commands/cat.ts')),
  ...verb('commit, container commit', "Make an image of a container's changes", () => import('./commands/commit.ts')),
  ...verb('copy, image copy', 'Copy an image between registries, archives, directories and the store', () => import('./commands/copy.ts')),
  ...verb('cp, container cp', 'Copy files or directories between a container and this machine', () => import('./commands/cp.ts')),
  ...verb('create, container create', 'Make a container and do not start it', () => import('./commands/create.ts')),
  ...verb('diff, container diff', 'Show what a container changed in its filesystem', () => import('./commands/diff.ts')),
  ...verb('export, container export', "Export a container's filesystem as a tar archive", () => import('./commands/export.ts')),
  ...verb('history, image history', 'Show the history of an image', () => import('./commands/history.ts')),
  ...verb('import, image import', 'Make an image from a tar archive of a root filesystem', () => import('./commands/import.ts')),
  ...verb('inspect', 'Show all that is known of images, containers, volumes and networks', () => import('./commands/inspect.ts')),
  ...verb('kill, container kill', 'Send a signal to containers, by default SIGKILL', () => import('./commands/kill.ts')),
  ...verb('load, image load', 'Load images from a tar archive or stdin', () => import('./commands/load.ts')),
  ...verb('login', 'Sign in to a registry, by default Docker Hub', () => import('./commands/login.ts')),
  ...verb('logout', 'Forget the credentials for a registry', () => import('./commands/logout.ts')),
  ...verb('logs, container logs', 'Show what a container has printed', () => import('./commands/logs.ts')),
  ...verb('ls', 'List directories of an image, here or in a registry', () => import('./commands/ls.ts')),
  ...verb('pause, container pause', 'Let containers stand still', () => import('./commands/pause.ts')),
  ...verb('port, container port', 'List the published ports of a container', () => import('./commands/port.ts')),
  ...verb('rename, container rename', 'Rename a container', () => import('./commands/rename.ts')),
  ...verb('restart, container restart', 'Stop containers and start them again', () => import('./commands/restart.ts')),
  ...verb('rm, container rm, ~container remove', 'Remove containers', () => import('./commands/rm.ts')),
  ...verb('rmi, image rm, ~image remove', 'Remove images or names of images', () => import('./commands/rmi.ts')),
  ...verb('save, image save', 'Write images to an archive', () => import('./commands/save.ts')),
  ...verb('serve', 'Serve the images of this machine as a registry', () => import('./commands/serve.ts')),
  ...verb('start, container start', 'Start containers that do not run', () => import('./commands/start.ts')),
  ...verb('stop, container stop', 'Ask containers to end, then kill them', () => import('./commands/stop.ts')),
  ...verb('tag, image tag', 'Give an image one more name', () => import('./commands/tag.ts')),
  ...verb('tags', 'List the tags that a repository has in its registry', () => import('./commands/tags.ts')),
  ...verb('top, container top', 'Show the processes of a container', () => import('./commands/top.ts')),
  ...verb('unpause, container unpause', 'Let paused containers go on', () => import('./commands/unpause.ts')),
  ...verb('wait, container wait', 'Wait until containers have ended and print their exit codes', () => import('./commands/wait.ts')),
  ...verb(
    'referrers, image referrers',
    'List what is said about an image: signatures, lists of parts',
    () => import('./commands/referrers.ts'),
  ),
  ...verb('artifact ls, ~artifact list', 'List artifacts', () => import('./commands/artifactLs.ts')),
  ...verb('manifest inspect', 'Show a manifest or an index as its registry has it', () => import('./commands/manifestInspect.ts')),
  ...verb('image inspect', 'Show all that is known of images', () => import('./commands/imageInspect.ts')),
  ...verb('image prune', 'Remove unused images', () => import('./commands/imagePrune.ts')),
  ...verb('container inspect', 'Show all that is known of containers', () => import('./commands/containerInspect.ts')),
  ...verb('container prune', 'Remove all stopped containers', () => import('./commands/containerPrune.ts')),
  ...verb('volume create', 'Create a volume', () => import('./commands/volumeCreate.ts')),
  ...verb('volume inspect', 'Show all that is known of volumes', () => import('./commands/volumeInspect.ts')),
  ...verb('volume ls, ~volume list', 'List volumes', () => import('./commands/volumeLs.ts')),
  ...verb('volume prune', 'Remove unused volumes', () => import('./commands/volumePrune.ts')),
  ...verb('volume rm, ~volume remove', 'Remove volumes', () => import('./commands/volumeRm.ts')),
  ...verb('network inspect', 'Show all that is known of networks', () => import('./commands/networkInspect.ts')),
  ...verb('network ls, ~network list', 'List networks', () => import('./commands/networkLs.ts')),
  ...verb('system check', 'Read everything that is stored, and tell what is damaged', () => import('./commands/systemCheck.ts')),
  ...verb('system df', 'Show how much disk is used by what', () => import('./commands/systemDf.ts')),
  ...verb('system prune', 'Remove what is not used', () => import('./commands/systemPrune.ts')),
  // Called by conmon when a container's process has ended.
  ...verb(
    '~container cleanup',
    'Do what is due after the process of a container has ended',
    () => import('./commands/containerCleanup.ts'),
  ),
]
