import { assertWord } from '../../io/option-words.ts';
import type { QemuFeatures } from '../../qemu/qemu-facts.ts';
import { eager } from './eager.ts';
import { instant } from './instant.ts';
import { lazy } from './lazy.ts';
import type { Mode, NamelessMode } from './mode.ts';
import { preload } from './preload.ts';

/** All modes, in the order in which people see them and in which defaults are looked for. */
const TABLE = {
  instant: (): NamelessMode => instant,
  preload: (): NamelessMode => preload,
  lazy: (): NamelessMode => lazy,
  eager: (): NamelessMode => eager,
};

/**
 * The source of a restored guest's memory: the snapshot, mapped (`instant`); memory that the engine has loaded before
 * QEMU starts (`preload`); pages that QEMU asks for while the guest runs (`lazy`); or QEMU's own reading (`eager`).
 */
export type RestoreMode = keyof typeof TABLE;

/** The mode of `restore` when the caller names none. */
export const DEFAULT_MODE: RestoreMode = 'instant';

/** Options of a restore that brings a guest the pages that it touches, and no others. */
export const ONLY_TOUCHED: {
  readonly mode: RestoreMode;
  readonly postcopy: { readonly push: 'off' };
  readonly workingSet: 'off';
} = { mode: 'lazy', postcopy: { push: 'off' }, workingSet: 'off' };

export const MODES: readonly Mode<RestoreMode>[] = Object.keys(TABLE)
  .filter((name) => isRestoreMode(name))
  .map((name) => modeOf(name));

export const MODE_NAMES: readonly RestoreMode[] = MODES.map(({ name }) => name);

/** @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_ARGUMENT for a name that no mode has */
export function modeOf(name: RestoreMode): Mode<RestoreMode> {
  assertWord('mode of a restore', name, Object.keys(TABLE));
  return { ...TABLE[name](), name };
}

/** Returns the mode for a QEMU that is there already. @param mapped the blocks that it maps out of the snapshot */
export function modeMeantBy(mapped: readonly string[]): Mode<RestoreMode> {
  return MODES.find((mode) => mode.isMeantBy(mapped)) ?? modeOf(DEFAULT_MODE);
}

/**
 * Returns the first mode that a platform allows, and a QEMU, if there is one. The reason says what the modes before it
 * lack there, if anything.
 */
export function modeOn(
  platform: NodeJS.Platform,
  features?: QemuFeatures,
): {
  readonly mode: Mode<RestoreMode>;
  readonly why: string;
} {
  const lacks: string[] = [];
  for (const mode of MODES) {
    const { possible, why } = mode.isPossibleOn(platform, features);
    if (possible) return { mode, why: lacks[0] ?? why };
    lacks.push(why);
  }
  return { mode: modeOf(DEFAULT_MODE), why: lacks.join('; ') };
}

function isRestoreMode(name: string): name is RestoreMode {
  return Object.hasOwn(TABLE, name);
}
