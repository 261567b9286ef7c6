import { setTimeout as delay } from 'node:timers/promises';

import type { QmpClient } from '../../ts/qmp/client.ts';
import type { QmpEvents } from '../../ts/qmp/events.ts';

/** The part of a save from one of its steps to the next. */
export interface Phase {
  readonly step: string;
  readonly durationMs: number;
}

/** The moment `afterMs` after a save has come to a step. */
export interface KillPoint {
  readonly step: string;
  readonly afterMs: number;
}

/** The steps to which a running save has come so far; the first is `begin`. */
export class StepsSeen {
  readonly #startedAt = performance.now();
  #events: QmpEvents | undefined;
  #seen: { readonly step: string; readonly atMs: number }[] = [{ step: 'begin', atMs: 0 }];

  get last(): string {
    return this.#seen.at(-1)?.step ?? '';
  }

  add(step: string): void {
    if (!this.#seen.some((seen) => seen.step === step))
      this.#seen.push({ step, atMs: performance.now() - this.#startedAt });
  }

  /** Counts QEMU's events as steps, too: STOP and RESUME. */
  follow(qmp: QmpClient): void {
    const events = qmp.events(['STOP', 'RESUME']);
    this.#events = events;
    const listen = async (): Promise<void> => {
      for await (const { event } of events) this.add(event);
    };
    // The events end with QEMU, which some tests kill.
    listen().catch(() => undefined);
  }

  /** Ends the watch. @returns how long each step took */
  stop(): readonly Phase[] {
    void this.#events?.return();
    const endMs = performance.now() - this.#startedAt;
    return this.#seen.map(({ step, atMs }, index) => ({
      step,
      durationMs: (this.#seen[index + 1]?.atMs ?? endMs) - atMs,
    }));
  }

  /** Waits for the moment, or for the end of the save. */
  async reach({ step, afterMs }: KillPoint, ended: Promise<unknown>): Promise<void> {
    const end = ended.then(over, over);
    const isThere = (): boolean => this.#seen.some((seen) => seen.step === step);
    let waited: unknown;
    while (waited !== 'over' && !isThere()) waited = await Promise.race([delay(1), end]);
    await Promise.race([delay(afterMs), end]);
  }
}

/** How many moments are tried; `MAPPED_RAM_KILL_POINTS` asks for more than a run of all tests has time for. */
export function killCount(usual: number): number {
  return Number(process.env['MAPPED_RAM_KILL_POINTS'] ?? usual);
}

/**
 * Moments spread over a whole save. Each phase has the same number: most changes in the shortest phases. A moment is
 * measured from the last step before it, so that a machine that has become slower meets it, too.
 */
export function killPoints(
  count: number,
  phases: readonly Phase[],
  random: () => number,
): readonly KillPoint[] {
  return Array.from({ length: count }, (_, index) => {
    const { step, durationMs } = phases[index % phases.length] ?? { step: 'begin', durationMs: 0 };
    return { step, afterMs: random() * durationMs };
  });
}

const over = (): 'over' => 'over';

/** True when enough moments came in the middle of the work. @param hit the last step before each moment */
export function areAtWork(hit: readonly string[]): boolean {
  return hit.filter((step) => ['STOP', 'state', 'memory', 'publish'].includes(step)).length >= hit.length / 6;
}

export function describePoint({ step, afterMs }: KillPoint): string {
  return `${afterMs.toFixed(1)} ms after ${step}`;
}

/** Numbers in [0, 1) that are the same for the same seed (mulberry32). */
export function randomNumbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = Math.trunc(state + 0x6d2b79f5);
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
