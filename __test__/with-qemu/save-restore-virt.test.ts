import { randomBytes } from 'node:crypto';

import type { ExecutionContext } from 'ava';

import type { Writer } from '../../ts/negotiate/request.ts';
import { MODE_NAMES } from '../../ts/restore/modes/modes.ts';
import { save } from '../../ts/save/save.ts';
import { settings } from '../negotiate/carry-out.ts';
import type { TestGuest } from '../support/qemu.ts';
import { aarch64Test, riscv64Test } from '../support/qemu-required.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { restoreVirtGuest, startVirtGuest, type VirtSetup } from '../support/virt-guest.ts';

const VARIABLES = 'virt.flash1';
const VARIABLE_BYTES = 256 * 1024;

/** Every kind of memory, with the writers that `auto` and the caller can have for it. */
const MEMORIES: readonly { readonly backend?: 'ram' | 'file'; readonly writer: Writer }[] = [
  { writer: 'qemu' },
  { backend: 'ram', writer: 'qemu' },
  { backend: 'file', writer: 'qemu' },
  { backend: 'file', writer: 'engine' },
];

for (const flash of ['none', 'bios', 'pair'] as const) {
  for (const { backend, writer } of MEMORIES) {
    const memory = backend === undefined ? 'plain -m' : `memory-backend-${backend}`;
    aarch64Test(`aarch64: saved by ${writer}, goes on in all modes: ${memory}, flash ${flash}`, (t) =>
      goesOn(t, { arch: 'aarch64', backend, flash }, writer),
    );
  }
}

aarch64Test('aarch64: QEMU’s default devices go along', (t) =>
  goesOn(t, { arch: 'aarch64', backend: 'file', flash: 'pair', defaults: true }, 'engine'),
);

for (const flash of ['bios', 'pair'] as const) {
  for (const writer of ['qemu', 'engine'] as const) {
    riscv64Test(`riscv64: saved by ${writer}, goes on in all modes: flash ${flash}`, (t) =>
      goesOn(t, { arch: 'riscv64', backend: 'file', flash }, writer),
    );
  }
}

/** Pages of data and zero pages in turn. */
function variablesOf(flash: VirtSetup['flash']): Buffer | undefined {
  if (flash !== 'pair') return undefined;
  const data = randomBytes(VARIABLE_BYTES);
  for (let at = 0; at < data.length; at += 8192) data.fill(0, at, at + 4096);
  return data;
}

/** Saves a guest, sees it go on, and restores it in all modes, where the second pflash has another image. */
async function goesOn(t: ExecutionContext, kind: VirtSetup, writer: Writer): Promise<void> {
  await using dir = await temporaryDirectory();
  const snapshot = dir.file('guest.snapshot');
  const variables = variablesOf(kind.flash);
  const assertVariables = async (guest: TestGuest, words: string): Promise<void> => {
    if (variables === undefined) return;
    t.deepEqual(Buffer.from(await guest.readBlock(VARIABLES, 0, VARIABLE_BYTES)), variables, words);
  };
  {
    await using guest = await startVirtGuest({ ...kind, variables });
    await guest.waitForGenerations(2);
    const before = await settings(guest.qmp);
    const saved = await save(guest.qmp, snapshot, { writer, guard: 'off' });
    t.like(saved, { writer, format: 'mapped-ram', verified: true, runState: 'running', warnings: [] });
    t.deepEqual(await settings(guest.qmp), before);
    // QEMU has looked at all of its memory by now; a second save goes the same way.
    await save(guest.qmp, snapshot, { writer, guard: 'off', overwrite: true });
    await guest.assertAlive();
    await assertVariables(guest, 'saved');
  }
  const states = new Set<string>();
  for (const mode of MODE_NAMES) {
    const other = variables === undefined ? undefined : randomBytes(VARIABLE_BYTES);
    const setup = { ...kind, variables: other };
    await using guest = await restoreVirtGuest(snapshot, setup, { mode, after: 'stop' });
    const before = await guest.checkMemory();
    states.add(JSON.stringify(before));
    await assertVariables(guest, mode);
    const after = await guest.assertAlive();
    t.true(after.generation > before.generation, mode);
    await assertVariables(guest, `${mode}, after a while`);
    t.deepEqual(guest.restored.warnings, []);
  }
  t.is(states.size, 1, `it goes on where it was saved in every mode: ${[...states].join()}`);
}
