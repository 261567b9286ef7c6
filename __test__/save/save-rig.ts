import { mkdir, open, readdir, rm } from 'node:fs/promises';

import type { ExecutionContext } from 'ava';

import { lockFile } from '../../ts/engine/file-lock.ts';
import { save, type SaveOptions } from '../../ts/index.ts';
import type { Writer } from '../../ts/negotiate/request.ts';
import { LoopVolume } from '../support/loop-volume.ts';
import { MIB, startGuest, type GuestSetup, type TestGuest } from '../support/qemu.ts';
import { restoreGuest } from '../support/restored-guest.ts';
import { TemporaryDirectory, temporaryDirectory } from '../support/temporary.ts';
import { settings } from '../negotiate/carry-out.ts';
import { digestOf } from './captured-guest.ts';
import { checkSnapshot } from './check-snapshot.ts';
import { untilNoGuard } from './running-guards.ts';

/**
 * A writer; or QEMU, while the guest runs; or the engine, which takes the guest out of QEMU's process: `capture` all of
 * it, `pause` without a copy, so that the guest stands still for all of it, `delta` and `reflink` on a base.
 */
export type RigKind = Writer | 'live' | 'capture' | 'pause' | 'delta' | 'reflink';
/** The kinds of which the engine takes the guest out of QEMU's process. */
export const CAPTURES = ['capture', 'pause', 'delta', 'reflink'] as const;
/** The kinds that are tried; `MAPPED_RAM_SAVE_KINDS=all` tries all of them, and a list of names tries those. */
export const RIG_KINDS: readonly RigKind[] = chosen(process.env['MAPPED_RAM_SAVE_KINDS']);

/** Each kind takes minutes in each of the tests that kill, cut and abort. */
function chosen(names: string | undefined): readonly RigKind[] {
  const all: readonly RigKind[] = ['engine', 'qemu', 'live', ...CAPTURES];
  if (names === 'all') return all;
  const wanted = (names ?? 'engine,qemu,live,delta').split(',');
  return all.filter((kind) => wanted.includes(kind));
}

/** Options that choose the kind. */
const HOW: Readonly<Record<RigKind, SaveOptions>> = {
  // What QEMU has in shared files is read there only with x-ignore-shared.
  engine: { writer: 'engine', xIgnoreShared: 'on' },
  qemu: { writer: 'qemu' },
  live: { live: true },
  capture: { writer: 'engine' },
  pause: { writer: 'engine', maxCopyMemory: 0 },
  delta: { base: 'auto', form: 'delta' },
  // A part of the guest does not fit the copy.
  reflink: { base: 'auto', maxCopyMemory: 24 * MIB },
};

/** Options that make a save so slow that most of its moments are in the middle of its work. */
const SLOWLY: Readonly<Record<'qemu' | 'live' | 'others', SaveOptions>> = {
  qemu: { maxBandwidth: 64 * MIB },
  // The guest rewrites 32 MiB, which the last pass may write.
  live: { maxBandwidth: 64 * MIB, downtimeLimitMs: 800 },
  others: { requestSize: 4096, queueDepth: 1, channels: 1, ioEngine: 'threads' },
};

const SETUPS: Readonly<Record<RigKind, GuestSetup>> = {
  engine: { backend: 'file', share: true, region: { start: 16 * MIB, length: 64 * MIB } },
  qemu: {},
  live: { region: { start: 16 * MIB, length: 32 * MIB } },
  capture: { region: { start: 16 * MIB, length: 32 * MIB } },
  pause: { region: { start: 16 * MIB, length: 32 * MIB } },
  delta: { region: { start: 16 * MIB, length: 32 * MIB } },
  reflink: { region: { start: 16 * MIB, length: 32 * MIB } },
};

/** A snapshot that the guest of a rig is a clone of. */
interface RigBase {
  readonly path: string;
  readonly digest: string;
}

/** A guest that is saved again and again, while each save goes wrong in another way. */
export class SaveRig implements AsyncDisposable {
  readonly guest: TestGuest;
  /** The address of a second QMP monitor. */
  readonly server: string;
  readonly kind: RigKind;
  readonly #dir: TemporaryDirectory;
  readonly #sockets: TemporaryDirectory;
  readonly #before: unknown;
  readonly #base: RigBase | undefined;
  readonly #volume: LoopVolume | undefined;
  #ran = true;

  private constructor(
    guest: TestGuest,
    dir: TemporaryDirectory,
    sockets: TemporaryDirectory,
    server: string,
    kind: RigKind,
    before: unknown,
    base: RigBase | undefined,
    volume: LoopVolume | undefined,
  ) {
    this.guest = guest;
    this.#dir = dir;
    this.#sockets = sockets;
    this.server = server;
    this.kind = kind;
    this.#before = before;
    this.#base = base;
    this.#volume = volume;
  }

  static async start(kind: RigKind): Promise<SaveRig> {
    const volume = kind === 'reflink' ? await LoopVolume.mount('xfs', 700) : undefined;
    // The snapshots are in memory: the load of the disk must not decide how long a save takes.
    const dir = volume === undefined ? await temporaryDirectory('/dev/shm') : await directoryIn(volume);
    const sockets = await temporaryDirectory();
    const server = sockets.file('qmp.sock');
    const setup = { ...SETUPS[kind], extraArgs: ['-qmp', `unix:${server},server=on,wait=off`] };
    const isClone = kind === 'delta' || kind === 'reflink';
    const base = isClone ? await makeBase(volume?.path ?? sockets.path, SETUPS[kind]) : undefined;
    const guest = base === undefined ? await startGuest(setup) : await restoreGuest(base.path, setup, {});
    // These values are no defaults, so that a test can tell settings that were put back from defaults.
    await guest.qmp.execute('migrate-set-parameters', { 'max-bandwidth': 7 * MIB, 'multifd-channels': 3 });
    await guest.waitForGenerations(2);
    return new SaveRig(guest, dir, sockets, server, kind, await settings(guest.qmp), base, volume);
  }

  get directory(): string {
    return this.#dir.path;
  }

  get target(): string {
    return this.#dir.file('snapshot');
  }

  get options(): SaveOptions {
    const { kind } = this;
    return { ...HOW[kind], ...SLOWLY[kind === 'qemu' || kind === 'live' ? kind : 'others'] };
  }

  /** Options of the same save at its own speed. */
  get quickly(): SaveOptions {
    return HOW[this.kind];
  }

  /** Lets the guest run, or stops it, as the next save is to find it. A guest that is saved live runs. */
  async prepare(runs: boolean): Promise<void> {
    this.#ran = runs;
    await this.guest.cont();
    await this.guest.waitForGenerations(1);
    if (!runs) await this.guest.stop();
  }

  /**
   * Asserts that everything is as it was before the last save, and that the next one works.
   * @param when names the last save in messages
   */
  async assertAsBefore(t: ExecutionContext, when: string): Promise<void> {
    const { guest } = this;
    t.deepEqual(await untilNoGuard(), [], `${when}: a guard is left`);
    t.deepEqual(await settings(guest.qmp), this.#before, when);
    t.deepEqual(await guest.qmp.execute('query-fdsets'), [], when);
    const objects = await guest.qmp.execute('qom-list', { path: '/objects' });
    t.false(JSON.stringify(objects).includes('mapped-ram-save'), `${when}: the claim is left`);
    const state = await guest.runState();
    if (this.#ran) t.is(state, 'running', when);
    else t.true(['paused', 'postmigrate'].includes(state), `${when}: ${state}`);
    if (this.#ran) await guest.waitForGenerations(1);
    await this.assertNextWorks(t, when);
  }

  /** Asserts that there is no incomplete file, that the next save works, and that then nothing temporary is left. */
  async assertNextWorks(t: ExecutionContext, when: string, guest: TestGuest = this.guest): Promise<void> {
    await this.assertNoneIncomplete(t, when);
    const existing = (await readdir(this.#dir.path)).filter((name) => name === 'snapshot');
    if ((await guest.runState()) === 'postmigrate') await guest.cont();
    await save(guest.qmp, this.#dir.file('next'), { guard: 'off' });
    await this.#check('next');
    t.deepEqual((await readdir(this.#dir.path)).toSorted(), ['next', ...existing], when);
    await rm(this.#dir.file('next'));
    await rm(this.target, { force: true });
  }

  /** Asserts that a file of this name is a complete snapshot, if there is one. @returns whether there is one */
  async assertNoneIncomplete(t: ExecutionContext, when: string, name = 'snapshot'): Promise<boolean> {
    const isThere = (await readdir(this.#dir.path)).includes(name);
    if (isThere) await t.notThrowsAsync(this.#check(name), when);
    return isThere;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.guest.close();
    await this.#assertBaseIsFree();
    await this.#dir[Symbol.asyncDispose]();
    await this.#sockets[Symbol.asyncDispose]();
    await this.#volume?.[Symbol.asyncDispose]();
  }

  /** @throws when the base is not what it was, or somebody still holds it without a guest */
  async #assertBaseIsFree(): Promise<void> {
    if (this.#base === undefined) return;
    const { path, digest } = this.#base;
    if ((await digestOf(path)) !== digest) throw new Error(`${path} has changed`);
    const file = await open(path, 'r+');
    try {
      lockFile(file.fd, 'exclusive', path);
    } finally {
      await file.close();
    }
  }

  async #check(name: string): Promise<void> {
    const [block = ''] = this.guest.memoryBlocks;
    await checkSnapshot(this.#dir.file(name), block, this.guest.region);
  }
}

async function directoryIn(volume: LoopVolume): Promise<TemporaryDirectory> {
  const path = volume.file('snapshots');
  await mkdir(path);
  return new TemporaryDirectory(path);
}

/** Saves a guest, of which the rig's is to be a clone. */
async function makeBase(directory: string, setup: GuestSetup): Promise<RigBase> {
  const path = `${directory}/base.mr`;
  await using guest = await startGuest(setup);
  await guest.waitForGenerations(1);
  await save(guest.qmp, path, { writer: 'engine' });
  return { path, digest: await digestOf(path) };
}
