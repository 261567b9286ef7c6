import type { Command } from './command.ts';

/** The commands in the order of use. Each is loaded when it is asked for: `info` has no use for the code of `demo`. */
export const COMMANDS: Readonly<Record<string, () => Promise<Command>>> = {
  save: async () => (await import('./commands/save.ts')).save,
  restore: async () => (await import('./commands/restore.ts')).restore,
  recover: async () => (await import('./commands/recover.ts')).recover,
  'working-set': async () => (await import('./commands/working-set.ts')).workingSet,
  fork: async () => (await import('./commands/fork.ts')).fork,
  info: async () => (await import('./commands/info.ts')).info,
  verify: async () => (await import('./commands/verify.ts')).verify,
  diff: async () => (await import('./commands/diff.ts')).diff,
  extract: async () => (await import('./commands/extract.ts')).extract,
  convert: async () => (await import('./commands/convert.ts')).convert,
  flatten: async () => (await import('./commands/flatten.ts')).flatten,
  pack: async () => (await import('./commands/pack.ts')).pack,
  unpack: async () => (await import('./commands/unpack.ts')).unpack,
  doctor: async () => (await import('./commands/doctor.ts')).doctor,
  bench: async () => (await import('./commands/bench.ts')).bench,
  demo: async () => (await import('./commands/demo.ts')).demo,
};

/** Loads all commands, for the overview. */
export function allCommands(): Promise<readonly Command[]> {
  return Promise.all(Object.values(COMMANDS).map((load) => load()));
}
