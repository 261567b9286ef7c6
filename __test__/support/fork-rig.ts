import { readdirSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';

import type { ExecutionContext } from 'ava';

import { fork } from '../../ts/fork/fork.ts';
import type { ForkOptions } from '../../ts/fork/fork-options.ts';
import type { ForkSlots } from '../../ts/fork/fork-slots.ts';
import type { Fork, ForkedGuest } from '../../ts/fork/forked-guest.ts';
import { prepareFork } from '../../ts/fork/prepare-fork.ts';
import { childProcesses, PoolGuests } from './pool-guests.ts';
import { type GuestSetup, startGuest, type TestGuest } from './qemu.ts';
import { QEMU_BINARY } from './qemu-binary.ts';
import { restoreGuest, saveGuest } from './restored-guest.ts';
import type { TemporaryDirectory } from './temporary.ts';

/** The two kinds of guests that are forked: one whose memory is its own, and a clone, which maps a snapshot. */
export const SOURCES = ['fresh', 'clone'] as const;
export type SourceKind = (typeof SOURCES)[number];

/** A guest that is forked, and the command lines of its clones. */
export class ForkRig implements AsyncDisposable {
  readonly source: TestGuest;
  readonly guests: PoolGuests;
  readonly #setup: GuestSetup;
  /** The processes and files that were there before the first fork. */
  readonly #before: { readonly children: readonly number[]; readonly shared: readonly string[] };

  private constructor(source: TestGuest, guests: PoolGuests, setup: GuestSetup) {
    this.source = source;
    this.guests = guests;
    this.#setup = setup;
    this.#before = { children: childProcesses(), shared: readdirSync('/dev/shm') };
  }

  static async start(kind: SourceKind, dir: TemporaryDirectory, setup: GuestSetup = {}): Promise<ForkRig> {
    const guests = new PoolGuests(dir, setup);
    if (kind === 'fresh') return new ForkRig(await ready(await startGuest(setup)), guests, setup);
    const base = dir.file(`${kind}-${Math.random()}.mr`);
    await saveGuest(setup, base);
    return new ForkRig(await ready(await restoreGuest(base, setup, { mode: 'instant' })), guests, setup);
  }

  options(options: Partial<ForkOptions> = {}): ForkOptions {
    return { binary: this.#setup.binary ?? QEMU_BINARY, args: this.guests.args, ...options };
  }

  fork(n: number, options: Partial<ForkOptions> = {}): Promise<Fork> {
    return fork(this.source.qmp, n, this.options(options));
  }

  prepare(n: number, options: Partial<ForkOptions> = {}): Promise<ForkSlots> {
    return prepareFork(this.source.qmp, n, this.options(options));
  }

  /** A clone, with the methods of a test guest. */
  clone(guest: ForkedGuest): TestGuest {
    return this.guests.testGuest(guest);
  }

  /** Makes sure that the source runs as before, and that nothing is left of forks: processes, descriptors, files. */
  async assertAsBefore(t: ExecutionContext, what: string): Promise<void> {
    const { source } = this;
    t.is(await source.runState(), 'running', what);
    t.deepEqual(await source.qmp.execute('query-fdsets'), [], `fdsets of the source, ${what}`);
    // A guard that was started ends by itself.
    for (let tries = 0; tries < 100 && childProcesses().length > this.#before.children.length; tries += 1) {
      await delay(50);
    }
    t.deepEqual(childProcesses(), this.#before.children, `processes, ${what}`);
    const left = readdirSync('/dev/shm').filter(
      (name) => name.includes('fork') && !this.#before.shared.includes(name),
    );
    t.deepEqual(left, [], what);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.source.close();
  }
}

async function ready(guest: TestGuest): Promise<TestGuest> {
  await guest.waitForGenerations(2);
  return guest;
}
