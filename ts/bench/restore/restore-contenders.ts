import { rm } from 'node:fs/promises';
import { join } from 'node:path';

import { RUNNING } from '../baseline/moments.ts';
import type { BenchFiles, Contender, MakeContenders } from '../contender.ts';
import type { FileState, RoundFigures } from '../figures.ts';
import { putInState } from '../file-state.ts';
import { CpuTime } from '../meter/cpu-time.ts';
import { lookIntoPageCache } from '../meter/look-into-page-cache.ts';
import { pageCacheGrowth } from '../meter/page-cache-growth.ts';
import { findBenchQemu, leftOutOfQemu } from '../others/bench-qemu.ts';
import { recordWalker } from './record-walker.ts';
import { CHANNELS, ourWays, ownLoading, type Way } from './restore-ways.ts';
import { saveWalker, SMALLEST_GUEST, type SavedWalker } from './saved-guest.ts';
import { untilWalkedTo } from './working-set.ts';

const MIB = 2 ** 20;
/** The built-in guest is code of these processors. */
const GUEST_TARGETS: ReadonlySet<string> = new Set(['i386', 'x86_64']);

export interface RestoreContendersOptions {
  /** Name or path of QEMU. @default `$MAPPED_RAM_QEMU`, or `qemu-system-…` for this machine's architecture */
  readonly qemu?: string | undefined;
}

/**
 * Makes the contenders of restoring: this package's modes, and QEMU's own loading. Each starts a QEMU, lets it take over
 * a guest that was saved, and waits until the guest has touched all of its working set. That is the end of a round's
 * time, and of its CPU time: then all have done the same, whichever way the memory came. The further moments are the
 * guest running, and of QEMU's own loading also the new QEMU's first answer. Peak memory is left out: the modes keep the
 * guest's memory in different kinds of it, which no one number compares.
 */
export function restoreContenders({ qemu }: RestoreContendersOptions = {}): MakeContenders {
  return async (files, state, signal) => {
    const names = [...ourWays('').map(({ name }) => name), `QEMU × ${CHANNELS}`];
    const skipAll = (reason: string): Awaited<ReturnType<MakeContenders>> => ({
      contenders: [],
      skipped: names.map((name) => ({ name, reason })),
    });
    if (files.size < SMALLEST_GUEST)
      return skipAll(`a guest to restore has at least ${SMALLEST_GUEST / MIB} MiB`);
    const found = await findBenchQemu(qemu, files.directory, signal);
    if ('why' in found) return skipAll(found.why);
    const { binary, target } = found;
    const whyNotHere = whyNoRestore(target);
    if (whyNotHere !== undefined) return skipAll(whyNotHere);
    const walker = await saveWalker(files, binary, signal);
    const record = join(files.directory, 'walker.working-set');
    const why = await recordWalker(walker, binary, record, signal);
    const ways = [...ourWays(why === undefined ? record : undefined), ownLoading(found)];
    const held = new Held([walker.snapshot, record], ways.length);
    const left = names.filter((name) => ways.every((way) => way.name !== name));
    return {
      contenders: ways.map((way) => new RestoreContender(files, state, held, { ...way, binary, walker })),
      skipped: [...leftOutOfQemu(found), ...left.map((name) => ({ name, reason: why ?? '' }))],
    };
  };
}

/** The reason why a QEMU for such guests cannot restore the bench's guest; undefined when it can. */
export function whyNoRestore(target: string): string | undefined {
  return GUEST_TARGETS.has(target)
    ? undefined
    : `the guest to restore is one of x86, and this QEMU has guests of ${target}`;
}

interface MeteredWay extends Way {
  readonly binary: string;
  readonly walker: SavedWalker;
}

/** Files that several contenders share; they go with the last of them. */
class Held {
  readonly #paths: readonly string[];
  #users: number;

  constructor(paths: readonly string[], users: number) {
    this.#paths = paths;
    this.#users = users;
  }

  async leave(): Promise<void> {
    this.#users -= 1;
    if (this.#users > 0) return;
    for (const path of this.#paths) await rm(path, { force: true });
  }
}

class RestoreContender implements Contender {
  readonly name: string;
  readonly program: Contender['program'];
  readonly isReference: boolean;
  readonly isMeteredHere: boolean;
  readonly settings: Contender['settings'];
  readonly #files: BenchFiles;
  readonly #state: FileState;
  readonly #held: Held;
  readonly #way: MeteredWay;
  readonly #copy: string;
  #source: string | undefined;
  #isOver = false;

  constructor(files: BenchFiles, state: FileState, held: Held, way: MeteredWay) {
    this.name = way.name;
    this.program = way.isOurs ? 'mapped-ram' : 'qemu';
    this.isReference = !way.isOurs;
    this.isMeteredHere = way.isOurs;
    this.settings = { ...way.settings, workingSetBytes: way.walker.workingSet };
    this.#files = files;
    this.#state = state;
    this.#held = held;
    this.#way = way;
    this.#copy = join(files.directory, 'walker.dirty');
  }

  async prepare(signal: AbortSignal): Promise<void> {
    this.#source = await putInState(this.#way.walker.snapshot, this.#state, this.#copy, signal);
  }

  async run(signal: AbortSignal): Promise<RoundFigures> {
    const path = this.#source;
    if (path === undefined) throw new TypeError('run before prepare');
    const { binary, walker, start, isOurs } = this.#way;
    try {
      const growth = await pageCacheGrowth([path], lookIntoPageCache);
      const own = process.cpuUsage();
      const startedAt = performance.now();
      const { qemu: started, moments, hasHelper } = await start({ path, binary, args: walker.args, signal });
      await using qemu = started;
      const running = performance.now() - startedAt;
      // From here on this process only looks how far the guest is.
      const { user, system } = process.cpuUsage(own);
      await untilWalkedTo(qemu.qmp, walker.goal, signal);
      const milliseconds = performance.now() - startedAt;
      const cpuMs = hasHelper ? undefined : new CpuTime(qemu.pid, 'start').end();
      return {
        milliseconds,
        bytes: this.#files.size,
        dataBytes: walker.dataBytes,
        cpuMs: cpuMs === undefined ? undefined : cpuMs + (isOurs ? (user + system) / 1000 : 0),
        pageCacheBytes: await growth.end(),
        moments: { ...moments, [RUNNING]: running },
      };
    } finally {
      await rm(this.#copy, { force: true });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#isOver) return;
    this.#isOver = true;
    await rm(this.#copy, { force: true });
    await this.#held.leave();
  }
}
