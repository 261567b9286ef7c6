import { rm } from 'node:fs/promises';

import type { QemuFinding } from '../qemu/process/find-qemu.ts';
import type { GuestProgress } from '../guest/check-guest-memory.ts';
import type { GuestRegionOptions } from '../guest/guest-region.ts';
import { writeGuestDisk } from '../guest/write-guest-disk.ts';
import { pack } from '../pack/pack.ts';
import { unpack } from '../pack/unpack.ts';
import type { TransferReport } from '../engine/transfer-options.ts';
import { attach } from '../restore/attach.ts';
import { save } from '../save/save.ts';
import type { SaveOptions } from '../save/save-options.ts';
import { DemoGuest, GUEST_BLOCK, type DemoGuestOptions } from './demo-guest.ts';
import { type DemoMeasures, type DemoRun, transferOf } from './demo-run.ts';
import { fillMemory } from './fill-memory.ts';

const MIB = 1024 * 1024;
/** Generations to wait for: by then the guest has checked all of its memory itself, twice. */
const GENERATIONS = 3;
/** QEMU goes when this process goes, so that there is nothing to guard. */
const BY_QEMU = { writer: 'qemu', after: 'stop', guard: 'off' } as const satisfies SaveOptions;

/** A QEMU that the demo can use. */
export type UsableQemu = QemuFinding & { readonly path: string; readonly version: string };

export interface GuestDemoMeasures extends DemoMeasures {
  readonly accelerator: string;
}

/**
 * Runs the demo with a real guest. QEMU's own snapshot is read and compared. Then a snapshot of ours is packed from the
 * same guest, restored by a new QEMU and compared, and the guest goes on in there.
 */
export async function guestDemo(
  run: DemoRun,
  snapshot: string,
  qemu: UsableQemu,
): Promise<GuestDemoMeasures> {
  const { memory, disk, signal, places } = run;
  const region = regionOf(places.size);
  const boot = disk.file('boot.img');
  const [original, copy] = [memory.file('guest.ram'), memory.file('copy.ram')];
  const common = { binary: qemu.path, disk: boot, size: places.size, signal };
  await run.step('make the guest and its memory', async () => {
    await writeGuestDisk(boot, region);
    await fillMemory(original, places.size, region.start + region.length, signal);
  });
  const saved = await saveGuest(
    run,
    { ...common, ram: original, incoming: false },
    qemu,
    region,
    snapshot,
    copy,
  );
  const restored = await restoreGuest(run, { ...common, ram: copy, incoming: true }, region, snapshot, {
    original,
    generation: saved.progress.generation,
  });
  return {
    save: saved.save,
    load: saved.load,
    qemuLoadMs: restored.qemuLoadMs,
    generation: { saved: saved.progress.generation, resumed: restored.generation },
    accelerator: saved.accelerator,
  };
}

interface SavedGuest {
  readonly save: TransferReport;
  readonly load: TransferReport;
  readonly progress: GuestProgress;
  readonly accelerator: string;
}

async function saveGuest(
  run: DemoRun,
  options: DemoGuestOptions,
  qemu: UsableQemu,
  region: GuestRegionOptions,
  snapshot: string,
  copy: string,
): Promise<SavedGuest> {
  const { disk, signal } = run;
  const [qemuSnapshot, state] = [disk.file('qemu.mr'), disk.file('device.state')];
  await using guest = await run.step(`boot the guest in QEMU ${qemu.version}`, async () => {
    const booted = await DemoGuest.start(options);
    try {
      await booted.runGenerations(GENERATIONS);
      return booted;
    } catch (error) {
      await booted[Symbol.asyncDispose]();
      throw error;
    }
  });
  const accelerator = await guest.accelerator();
  await guest.stop();
  await guest.check(region);

  await run.step('let QEMU write a snapshot of its own', () =>
    save(guest.qmp, qemuSnapshot, { ...BY_QEMU, signal }),
  );
  const unpacked = await run.step('load it with mapped-ram', () =>
    unpack(qemuSnapshot, { ram: { [GUEST_BLOCK]: copy }, signal }),
  );
  await run.step('compare every byte', () =>
    run.checkSame("QEMU's snapshot, loaded by mapped-ram: every byte is the guest's", options.ram, copy),
  );
  await Promise.all([rm(qemuSnapshot), rm(copy)]);

  await run.step('let the guest go on, and stop it', async () => {
    await guest.runGenerations(1);
    await guest.stop();
  });
  const progress = await guest.check(region);
  const packed = await run.step('save it with mapped-ram', async () => {
    await save(guest.qmp, state, { ...BY_QEMU, mappedRam: 'off', xIgnoreShared: 'on', signal });
    return pack(snapshot, { state, ram: { [GUEST_BLOCK]: options.ram }, signal });
  });
  return { save: packed.transfer, load: transferOf(unpacked), progress, accelerator };
}

async function restoreGuest(
  run: DemoRun,
  options: DemoGuestOptions,
  region: GuestRegionOptions,
  snapshot: string,
  saved: { readonly original: string; readonly generation: number },
): Promise<{ readonly qemuLoadMs: number; readonly generation: number }> {
  await using guest = await run.step('start a new QEMU', () => DemoGuest.start(options));
  const { loadMs: qemuLoadMs } = await run.step('let it restore our snapshot', () =>
    attach(guest.qmp, snapshot, { after: 'stop', signal: run.signal }),
  );
  await run.step('compare every byte', () =>
    run.checkSame("our snapshot, restored by QEMU: every byte is the guest's", saved.original, options.ram),
  );
  const resumed = await run.step('let the guest go on from there', async () => {
    await guest.runGenerations(GENERATIONS);
    await guest.stop();
    return guest.check(region);
  });
  const wentOn = resumed.generation > saved.generation;
  run.check(
    'the guest went on where it was saved',
    wentOn ? undefined : `still generation ${resumed.generation}`,
  );
  return { qemuLoadMs, generation: resumed.generation };
}

/** The part of its memory that the guest keeps rewriting: 64 MiB, or half of a small guest. */
function regionOf(size: number): { readonly start: number; readonly length: number } {
  return { start: 16 * MIB, length: Math.min(64, Math.floor(size / MIB / 2)) * MIB };
}
