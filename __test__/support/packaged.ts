import { execFile } from 'node:child_process';
import { rmSync } from 'node:fs';
import { cp, mkdir, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { type TemporaryDirectory, temporaryDirectory } from './temporary.ts';
import { ROOT } from './tree.ts';

const run = promisify(execFile);

/** A project in a temporary directory, with the package as it is in the tree now in its node_modules. */
export class PackagedProject implements AsyncDisposable {
  readonly #directory: TemporaryDirectory;

  constructor(directory: TemporaryDirectory) {
    this.#directory = directory;
  }

  get path(): string {
    return this.#directory.path;
  }

  /** The directory of the installed package. */
  get package(): string {
    return this.file('node_modules/mapped-ram');
  }

  file(name: string): string {
    return this.#directory.file(name);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#directory[Symbol.asyncDispose]();
  }
}

let built: Promise<string> | undefined;

/** Builds the TypeScript once in this process, and returns the directory, which goes when the process ends. */
async function builtPackage(): Promise<string> {
  const directory = await temporaryDirectory();
  process.once('exit', () => rmSync(directory.path, { recursive: true, force: true }));
  const tsc = join(ROOT, 'node_modules/typescript/bin/tsc');
  const outDir = directory.file('dist');
  await run(process.execPath, [tsc, '-p', join(ROOT, 'tsconfig.build.json'), '--outDir', outDir]);
  return outDir;
}

/**
 * Builds the TypeScript into a new project, which has Node's types, but not the package's dependencies.
 * @param options.native whether the project has the native binding, too
 */
export async function packagedProject(options: { readonly native: boolean }): Promise<PackagedProject> {
  const project = new PackagedProject(await temporaryDirectory());
  try {
    await mkdir(project.package, { recursive: true });
    await cp(join(ROOT, 'package.json'), join(project.package, 'package.json'));
    built ??= builtPackage();
    await cp(await built, join(project.package, 'dist'), { recursive: true });
    await symlink(join(ROOT, 'node_modules/@types'), project.file('node_modules/@types'), 'junction');
    if (options.native) await symlink(join(ROOT, 'native'), join(project.package, 'native'), 'junction');
    return project;
  } catch (error) {
    await project[Symbol.asyncDispose]();
    throw error;
  }
}
