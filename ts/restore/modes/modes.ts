import { MappedRamError } from '../../errors.ts';
import { eager } from './eager.ts';
import { instant } from './instant.ts';
import type { Mode, NamelessMode } from './mode.ts';
import { preload } from './preload.ts';

/** All modes, in the order in which people are told of them and defaults are looked for. */
const TABLE = {
  instant: (): NamelessMode => instant,
  preload: (): NamelessMode => preload,
  eager: (): NamelessMode => eager,
};

/**
 * Where the memory of a restored guest comes from: out of the snapshot, mapped (`instant`); out of memory that the engine
 * has loaded before QEMU starts (`preload`); or QEMU reads it (`eager`).
 */
export type RestoreMode = keyof typeof TABLE;

/** What `restore` takes when no mode is named. */
export const DEFAULT_MODE: RestoreMode = 'instant';

export const MODES: readonly Mode<RestoreMode>[] = Object.keys(TABLE)
  .filter((name) => isRestoreMode(name))
  .map((name) => modeOf(name));

/** @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_ARGUMENT for what names no mode */
export function modeOf(name: RestoreMode): Mode<RestoreMode> {
  if (isRestoreMode(name)) return { ...TABLE[name](), name };
  throw new MappedRamError('ERR_MAPPED_RAM_INVALID_ARGUMENT', 'mode of a restore', {
    expected: Object.keys(TABLE).join(', '),
    found: String(name),
  });
}

/** The mode for a QEMU that is there already. @param mapped the blocks that it maps out of the snapshot */
export function modeMeantBy(mapped: readonly string[]): Mode<RestoreMode> {
  return MODES.find((mode) => mode.isMeantBy(mapped)) ?? modeOf(DEFAULT_MODE);
}

/** The first mode that a platform can have; the reason is what the modes before it lack there, if anything. */
export function modeOn(platform: NodeJS.Platform): {
  readonly mode: Mode<RestoreMode>;
  readonly why: string;
} {
  const lacks: string[] = [];
  for (const mode of MODES) {
    const { possible, why } = mode.isPossibleOn(platform);
    if (possible) return { mode, why: lacks[0] ?? why };
    lacks.push(why);
  }
  return { mode: modeOf(DEFAULT_MODE), why: lacks.join('; ') };
}

function isRestoreMode(name: string): name is RestoreMode {
  return Object.hasOwn(TABLE, name);
}
