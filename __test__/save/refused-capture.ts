import { copyFile } from 'node:fs/promises';

import type { ExecutionContext } from 'ava';

import { MappedRamError, planSave, save, type SaveOptions } from '../../ts/index.ts';
import { settings } from '../negotiate/carry-out.ts';
import { MIB, startGuest, type TestGuest } from '../support/qemu.ts';
import { restoreGuest } from '../support/restored-guest.ts';
import { temporaryDirectory, type TemporaryDirectory } from '../support/temporary.ts';
import { FREE, poke, scattered, SETUP } from './captured-guest.ts';

export interface Refusal {
  readonly code?: MappedRamError['code'];
  /** The rule that refuses, where it is one. */
  readonly rule?: string;
  readonly message: RegExp;
  /** True for a refusal that only `save` can come to. @default false */
  readonly onlySave?: boolean;
}

/** Asserts that a save is refused in words, while the guest goes on, and that it leaves nothing behind. */
export async function assertRefused(
  t: ExecutionContext,
  guest: TestGuest,
  target: string,
  options: SaveOptions,
  { code = 'ERR_MAPPED_RAM_UNSUPPORTED', rule, message, onlySave = false }: Refusal,
): Promise<void> {
  const { qmp } = guest;
  const before = await ofQemu(guest);
  const stops = qmp.events(['STOP', 'RESUME']);
  for (const act of onlySave ? [save] : [planSave, save]) {
    const error = await t.throwsAsync(
      act(qmp, target, options),
      { instanceOf: MappedRamError, message },
      act.name,
    );
    t.is(error?.code, code, error?.message);
    if (rule !== undefined) t.is(error?.rule?.rule, rule, error?.message);
  }
  await stops.return();
  t.deepEqual(await stops.next(), { done: true, value: undefined }, 'the guest was stopped');
  t.deepEqual(await ofQemu(guest), before);
  t.deepEqual(await qmp.execute('query-fdsets'), []);
}

async function ofQemu(guest: TestGuest): Promise<unknown> {
  const { qmp } = guest;
  return [await settings(qmp), await guest.runState(), await qmp.execute('qom-list', { path: '/objects' })];
}

/** A snapshot with data in the memory that the guest does not use, and a directory for clones of it. */
export class ModelSnapshot implements AsyncDisposable {
  readonly dir: TemporaryDirectory;
  readonly path: string;

  private constructor(dir: TemporaryDirectory) {
    this.dir = dir;
    this.path = dir.file('model.mr');
  }

  static async make(): Promise<ModelSnapshot> {
    const model = new ModelSnapshot(await temporaryDirectory());
    await using guest = await startGuest(SETUP);
    await guest.waitForGenerations(2);
    await guest.stop();
    await poke(guest, scattered(FREE.start, 8 * MIB, 1, 1));
    await save(guest.qmp, model.path, { writer: 'engine' });
    return model;
  }

  /** Starts a clone of a base of its own, and a name for a delta. */
  async startClone(
    name: string,
  ): Promise<{ readonly guest: TestGuest; readonly base: string; readonly target: string }> {
    const base = this.dir.file(`${name}.mr`);
    await copyFile(this.path, base);
    const guest = await restoreGuest(base, SETUP, {});
    return { guest, base, target: this.dir.file(`${name}.delta`) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.dir[Symbol.asyncDispose]();
  }
}

/** Does something the moment before QEMU gets a command. */
export function justBefore(
  guest: TestGuest,
  command: string,
  act: () => Promise<unknown>,
): { readonly undo: () => void } {
  const { qmp } = guest;
  const execute = qmp.execute.bind(qmp);
  let isDone = false;
  const spied: typeof execute = async (name, ...rest) => {
    if (name === command && !isDone) {
      isDone = true;
      await act();
    }
    return execute(name, ...rest);
  };
  qmp.execute = spied;
  return { undo: () => void (qmp.execute = execute) };
}
