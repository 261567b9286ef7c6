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
  ['verify', 'extract', 'pack', 'convert', 'diff'],
  ['qmp'],
  ['qemu'],
  ['negotiate'],
  ['save', 'restore'],
  ['guest'],
  ['demo', 'doctor'],
  ['cli', 'index.ts'],
];

/** The one file that loads the native binding, and the one room whose files call it. */
export const BINDING_IMPORTER = 'ts/engine/binding.ts';
export const BINDING_ROOM = 'engine';

/** The most files that lie flat in a folder of ts/. */
export const MOST_FILES = 20;

/** The most lines of a file of ts/ that nobody generated (CONTRIBUTING.md). */
export const MOST_LINES = 250;

/** The rooms that run without Node: they import no package and no other rooms of ts/. */
export const PURE: readonly string[] = ['errors.ts', 'uri', 'stream'];
