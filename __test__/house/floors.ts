/**
 * The folders of ts/ by floor, from the lowest to the highest, and the two files beside them. A file imports only from
 * its own folder and from lower floors, types included: rooms on one floor do not know each other.
 */
export const FLOORS: ReadonlyArray<readonly string[]> = [
  ['errors.ts'],
  ['uri'],
  ['stream'],
  ['io', 'host'],
  ['engine'],
  ['pages'],
  ['physical'],
  ['snapshot'],
  ['seal'],
  ['verify', 'extract', 'pack', 'convert', 'diff', 'delta'],
  ['qmp'],
  ['qemu'],
  ['negotiate', 'working-set'],
  ['save', 'restore'],
  ['pool'],
  ['fork'],
  ['guest'],
  ['demo', 'doctor', 'bench'],
  ['cli', 'index.ts'],
];

/** The one file that loads the native binding, and the one room whose files call it. */
export const BINDING_IMPORTER = 'ts/engine/binding.ts';
export const BINDING_ROOM = 'engine';

/** The binding, which is the one thing outside ts/ that ts/ imports. */
export const BINDING_ARROW: string = `${BINDING_IMPORTER} → native/binding.cjs`;

/** The ways in ts/ to reach files by other means than an import, as `path: text`. */
export const OTHER_WAYS: readonly string[] = [
  // The page's script is made from page/ by the build; the tests take it from there, too.
  "ts/bench/html/page.ts: new URL('../../../dist/bench/html/charts.js', import.meta.url)",
  // The version is in package.json, which stays where it is when ts/ is compiled into dist/.
  "ts/bench/machine.ts: new URL('../../package.json', import.meta.url)",
  // This package's contender is measured in a process of its own, whose program lies beside the file that starts it.
  'ts/bench/ours/worker.ts: extname(import.meta.url)',
  'ts/bench/ours/worker.ts: new URL(`worker-main${extension}`, import.meta.url)',
  "ts/cli/main.ts: new URL('../../package.json', import.meta.url)",
  // The binding is loaded at its first use, at once and not by a promise, which only `require` can do.
  "ts/engine/binding.ts: 'node:module'",
  'ts/engine/binding.ts: createRequire(import.meta.url)',
  "ts/engine/binding.ts: require('../../native/binding.cjs')",
  // A binary that the system refuses is looked for where the binding's loader looks, to say why.
  "ts/engine/loading-problem.ts: new URL('../../native/', import.meta.url)",
  "ts/engine/loading-problem.ts: new URL('../../../@mapped-ram/', import.meta.url)",
  // So is the server of a memory that follows its guest.
  'ts/restore/postcopy/server-process.ts: extname(import.meta.url)',
  'ts/restore/postcopy/server-process.ts: new URL(`server-main${extension}`, import.meta.url)',
  // The guard of a save is a process of its own, and its program lies beside the file that starts it.
  'ts/save/guard.ts: extname(import.meta.url)',
  'ts/save/guard.ts: new URL(`guard-main${extension}`, import.meta.url)',
];

/** The most files that lie flat in a folder of ts/. */
export const MOST_FILES = 20;

/** The most lines of a file of ts/ that nobody generated (CONTRIBUTING.md). */
export const MOST_LINES = 250;

/** The rooms that run without Node: they import no package and no other rooms of ts/. */
export const PURE: readonly string[] = ['errors.ts', 'uri', 'stream'];
