/** How large the images are. */
export interface Scale {
  /** Debian packages of the second layer of node-big. */
  readonly packages: readonly string[]
  /** Packages from npm in its third. */
  readonly dependencies: Readonly<Record<string, string>>
  /** Files that each of its five small layers changes. */
  readonly changedFiles: number
  readonly manyLayers: number
  readonly bigFileMebibytes: number
  readonly manyImages: number
}

/** Majors are pinned: newer ones may need another Node than the machine has, and change the size. */
const LARGE_INSTALL = `react@18 react-dom@18 next@14 typescript@5 webpack@5 webpack-cli@5 @babel/core@7 @babel/preset-env@7 eslint@8 jest@29
  express@4 lodash@4 lodash-es@4 date-fns@3 core-js@3 rxjs@7 antd@5 moment@2 ramda@0.29 three@0.160 firebase@10 vue@3 vite@5 rollup@4
  @nestjs/core@10 @nestjs/common@10 @mui/material@5 @reduxjs/toolkit@2 aws-sdk@2 mongoose@8 graphql@16 prettier@3 tailwindcss@3 mocha@10
  chai@4 socket.io@4 axios@1 webpack-dev-server@4 sass@1 d3@7`

/** The images of the tables: 12 GB with what they are made of. */
export const FULL: Scale = {
  packages: ['nodejs', 'npm', 'python3', 'python3-pip', 'git', 'curl', 'ca-certificates', 'build-essential'],
  dependencies: parseDependencies(LARGE_INSTALL),
  changedFiles: 300,
  manyLayers: 100,
  bigFileMebibytes: 1024,
  manyImages: 1000,
}

/** The same in a tenth of the time and space, to try the maker or a change of the harness. */
export const SMALL: Scale = {
  packages: ['make', 'ca-certificates'],
  dependencies: parseDependencies('express@4 lodash@4'),
  changedFiles: 30,
  manyLayers: 10,
  bigFileMebibytes: 16,
  manyImages: 20,
}

function parseDependencies(text: string): Record<string, string> {
  const dependencies: Record<string, string> = {}
  for (const word of text.split(/\s+/)) {
    const at = word.lastIndexOf('@')
    dependencies[word.slice(0, at)] = `^${word.slice(at + 1)}`
  }
  return dependencies
}
