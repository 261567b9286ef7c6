import { setTimeout as delay } from 'node:timers/promises';

import { MappedRamError } from '../../errors.ts';
import { GUEST_ERROR, STATUS_ADDRESS, STATUS_MAGIC, STATUS_WORDS } from '../../guest/guest-status.ts';
import type { QmpClient } from '../../qmp/client.ts';

/** Milliseconds between two looks: far below the time of a walk, and a look takes a tenth of one. */
const LOOK_MS = 2;
/** Limit in milliseconds for a guest that reads its memory from a slow disk. */
const LIMIT_MS = 300_000;
const WORDS = 6;

/** How far the built-in guest is in its walk over its region. */
export interface WalkPlace {
  /** The walk, counted from 1: a generation of its pattern. */
  readonly generation: number;
  /** The page of the region that it is at. */
  readonly page: number;
}

/**
 * Reads how far the guest is. QEMU tells, because memory that a mode maps privately can be seen nowhere else.
 * @returns undefined when the guest has not begun
 * @throws {MappedRamError} ERR_MAPPED_RAM_CORRUPT when the guest found its memory wrong; as `QmpClient.execute`
 */
export async function walkPlace(qmp: QmpClient, signal: AbortSignal): Promise<WalkPlace | undefined> {
  const command = `xp /${WORDS}wx ${STATUS_ADDRESS}`;
  const text = await qmp.execute('human-monitor-command', { 'command-line': command }, { signal });
  const words = Array.from(text.matchAll(/ 0x([0-9a-f]{8})/g), ([, digits]) => Number(`0x${digits}`));
  const word = (name: keyof typeof STATUS_WORDS): number | undefined => words[STATUS_WORDS[name] / 4];
  const [generation, page] = [word('generation'), word('page')];
  if (word('magic') !== STATUS_MAGIC || generation === undefined || page === undefined) return undefined;
  if (word('error') === GUEST_ERROR.none) return { generation, page };
  throw new MappedRamError('ERR_MAPPED_RAM_CORRUPT', 'the guest found its memory wrong', {
    found: `generation ${generation}, page ${word('badPage')}`,
  });
}

/**
 * Waits until a running guest has come to a place in its walk. A whole generation after the place where it was saved it
 * has touched every page of its region: checked it, and rewritten it.
 *
 * @throws {MappedRamError} ERR_MAPPED_RAM_TIMEOUT after five minutes, and as {@link walkPlace}; the signal's reason
 */
export async function untilWalkedTo(qmp: QmpClient, goal: WalkPlace, signal: AbortSignal): Promise<void> {
  const deadline = performance.now() + LIMIT_MS;
  for (;;) {
    const now = await walkPlace(qmp, signal);
    if (now !== undefined && isAt(now, goal)) return;
    if (performance.now() > deadline) {
      throw new MappedRamError('ERR_MAPPED_RAM_TIMEOUT', 'the guest does not get through its working set', {
        expected: `generation ${goal.generation}, page ${goal.page}`,
        found: now === undefined ? 'no status' : `generation ${now.generation}, page ${now.page}`,
      });
    }
    await delay(LOOK_MS, undefined, { signal }).catch((error: unknown) => {
      signal.throwIfAborted();
      throw error;
    });
  }
}

function isAt(now: WalkPlace, goal: WalkPlace): boolean {
  if (now.generation !== goal.generation) return now.generation > goal.generation;
  return now.page >= goal.page;
}
