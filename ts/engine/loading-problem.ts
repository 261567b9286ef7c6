import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

import { MappedRamError, systemCode } from '../errors.ts';

const NATIVE = new URL('../../native/', import.meta.url);
/** The folder of the platform packages, where this package is installed by npm. */
const PACKAGES = new URL('../../../@mapped-ram/', import.meta.url);

/** A row of /proc/self/mounts: the mount point is the second word, its options are the fourth. */
const MOUNT = /^\S+ (?<point>\S+) \S+ (?<options>\S+)/;

/** A binary of this package, for one platform. */
interface Binary {
  readonly path: string;
  /** The platform, in the words of the file's name: `linux-x64-gnu`. */
  readonly platform: string;
}

/** Makes the error for a binding that cannot be loaded: it says what to change. @param cause the loader's error */
export function loadingProblem(cause: unknown): MappedRamError {
  const here = `${process.platform}-${process.arch}`;
  if (dlopenProblem('') === 'ERR_DLOPEN_DISABLED') {
    return problem(`native code cannot be loaded: ${switchedOffBy()}`, undefined, cause);
  }
  const binaries = [...binariesIn(NATIVE), ...packagedBinaries()];
  // A system has one C library or the other, so the one binary for this platform that is there is the one that failed.
  for (const { path, platform } of binaries) {
    if (platform !== here && !platform.startsWith(`${here}-`)) continue;
    const failed = dlopenProblem(path);
    if (failed === undefined || failed === 'ERR_DLOPEN_DISABLED') continue;
    const hint = isOnNoexec(path) ? ': it is on a file system that is mounted with noexec' : '';
    const words = `the native binding is there, but the system cannot load it${hint}`;
    return new MappedRamError('ERR_MAPPED_RAM_INTERNAL', words, { path, cause: failed });
  }
  const others = binaries.map(({ platform }) => platform);
  const installed = others.length === 0 ? '' : `, with a binding for ${others.join(', ')} only`;
  return problem(
    'no native binding for this platform could be loaded; if npm skipped an optional dependency, remove node_modules and package-lock.json and install again',
    `${here}${installed}`,
    cause,
  );
}

function problem(words: string, found: string | undefined, cause: unknown): MappedRamError {
  // The loader's words blame npm, whatever the reason.
  return new MappedRamError('ERR_MAPPED_RAM_INTERNAL', words, { found, cause, tellsCause: true });
}

/** Names the option of Node that forbids native code, and what to do about it. */
function switchedOffBy(): string {
  const options = [...process.execArgv, ...(process.env['NODE_OPTIONS'] ?? '').split(/\s+/)];
  const permission: unknown = Reflect.get(process, 'permission');
  return permission !== undefined && !options.includes('--allow-addons')
    ? "Node's permission model is on and forbids add-ons; give node --allow-addons"
    : "Node's add-ons are switched off; leave --no-addons out of node's options (see NODE_OPTIONS, too)";
}

/** Tries to load a binary. Returns the error; the code alone for native code that Node forbids. */
function dlopenProblem(path: string): Error | 'ERR_DLOPEN_DISABLED' | undefined {
  try {
    process.dlopen({ exports: {} }, path);
    return undefined;
  } catch (error) {
    if (systemCode(error) === 'ERR_DLOPEN_DISABLED') return 'ERR_DLOPEN_DISABLED';
    return error instanceof Error ? error : undefined;
  }
}

function packagedBinaries(): readonly Binary[] {
  const names = listOf(PACKAGES).filter((name) => name.startsWith('binding-'));
  return names.flatMap((name) => binariesIn(new URL(`${name}/`, PACKAGES)));
}

function binariesIn(folder: URL): readonly Binary[] {
  return listOf(folder).flatMap((name) => {
    const platform = /^mapped-ram\.(?<platform>.+)\.node$/.exec(name)?.groups?.['platform'];
    return platform === undefined ? [] : [{ path: fileURLToPath(new URL(name, folder)), platform }];
  });
}

function listOf(folder: URL): readonly string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

function isOnNoexec(path: string): boolean {
  let best = { point: '', options: '' };
  for (const line of mounts()) {
    const { point = '', options = '' } = MOUNT.exec(line)?.groups ?? {};
    const isAbove = point !== '' && (path === point || path.startsWith(point === '/' ? point : `${point}/`));
    // A later mount covers an earlier one at the same place.
    if (isAbove && point.length >= best.point.length) best = { point, options };
  }
  return best.options.split(',').includes('noexec');
}

function mounts(): readonly string[] {
  try {
    return readFileSync('/proc/self/mounts', 'utf8').split('\n');
  } catch {
    return [];
  }
}
