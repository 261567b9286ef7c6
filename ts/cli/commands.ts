import type { Command } from './command.ts';

/** The commands, loaded when they are asked for: `info` has no use for the code that `demo` needs. */
export const COMMANDS: Readonly<Record<string, () => Promise<Command>>> = {
  info: async () => (await import('./info.ts')).info,
  pack: async () => (await import('./pack.ts')).pack,
  unpack: async () => (await import('./unpack.ts')).unpack,
  save: async () => (await import('./save.ts')).save,
  restore: async () => (await import('./restore.ts')).restore,
  verify: async () => (await import('./verify.ts')).verify,
  diff: async () => (await import('./diff.ts')).diff,
  extract: async () => (await import('./extract.ts')).extract,
  convert: async () => (await import('./convert.ts')).convert,
  doctor: async () => (await import('./doctor.ts')).doctor,
  demo: async () => (await import('./demo.ts')).demo,
};

/** All of them, for the overview. */
export function allCommands(): Promise<readonly Command[]> {
  return Promise.all(Object.values(COMMANDS).map((load) => load()));
}
