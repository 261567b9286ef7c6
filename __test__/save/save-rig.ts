import { readdir, rm } from 'node:fs/promises';

import type { ExecutionContext } from 'ava';

import { save, type SaveOptions } from '../../ts/index.ts';
import type { Writer } from '../../ts/negotiate/request.ts';
import { MIB, startGuest, type GuestSetup, type TestGuest } from '../support/qemu.ts';
import { temporaryDirectory, type TemporaryDirectory } from '../support/temporary.ts';
import { settings } from '../negotiate/carry-out.ts';
import { checkSnapshot } from './check-snapshot.ts';
import { untilNoGuard } from './running-guards.ts';

/** A writer; or QEMU, while the guest runs. */
export type RigKind = Writer | 'live';

/** Options that make a save so slow that most of its moments are in the middle of its work. */
const SLOWLY: Readonly<Record<RigKind, SaveOptions>> = {
  engine: { writer: 'engine', requestSize: 4096, queueDepth: 1, channels: 1, ioEngine: 'threads' },
  qemu: { writer: 'qemu', maxBandwidth: 64 * MIB },
  // The guest rewrites 32 MiB, which the last pass may write.
  live: { live: true, maxBandwidth: 64 * MIB, downtimeLimitMs: 800 },
};

const SETUPS: Readonly<Record<RigKind, GuestSetup>> = {
  engine: { backend: 'file', share: true, region: { start: 16 * MIB, length: 64 * MIB } },
  qemu: {},
  live: {},
};

/** A guest that is saved again and again, while each save goes wrong in another way. */
export class SaveRig implements AsyncDisposable {
  readonly guest: TestGuest;
  /** The address of a second QMP monitor. */
  readonly server: string;
  readonly kind: RigKind;
  readonly #dir: TemporaryDirectory;
  readonly #sockets: TemporaryDirectory;
  readonly #before: unknown;
  #ran = true;

  private constructor(
    guest: TestGuest,
    dir: TemporaryDirectory,
    sockets: TemporaryDirectory,
    server: string,
    kind: RigKind,
    before: unknown,
  ) {
    this.guest = guest;
    this.#dir = dir;
    this.#sockets = sockets;
    this.server = server;
    this.kind = kind;
    this.#before = before;
  }

  static async start(kind: RigKind): Promise<SaveRig> {
    // The snapshots are in memory: the load of the disk must not decide how long a save takes.
    const dir = await temporaryDirectory('/dev/shm');
    const sockets = await temporaryDirectory();
    const server = sockets.file('qmp.sock');
    const guest = await startGuest({
      ...SETUPS[kind],
      extraArgs: ['-qmp', `unix:${server},server=on,wait=off`],
    });
    // These values are no defaults, so that a test can tell settings that were put back from defaults.
    await guest.qmp.execute('migrate-set-parameters', { 'max-bandwidth': 7 * MIB, 'multifd-channels': 3 });
    await guest.waitForGenerations(2);
    return new SaveRig(guest, dir, sockets, server, kind, await settings(guest.qmp));
  }

  get directory(): string {
    return this.#dir.path;
  }

  get target(): string {
    return this.#dir.file('snapshot');
  }

  get options(): SaveOptions {
    return SLOWLY[this.kind];
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
    await this.#dir[Symbol.asyncDispose]();
    await this.#sockets[Symbol.asyncDispose]();
  }

  async #check(name: string): Promise<void> {
    const [block = ''] = this.guest.memoryBlocks;
    await checkSnapshot(this.#dir.file(name), block, this.guest.region);
  }
}
