import { rm } from 'node:fs/promises';

import type { QemuFinding } from '../qemu/find-qemu.ts';
import type { GuestProgress } from '../guest/check-guest-memory.ts';
import type { GuestRegionOptions } from '../guest/guest-region.ts';
import { writeGuestDisk } from '../guest/write-guest-disk.ts';
import { loadFrom, saveTo, type MigrationOptions } from '../qemu/migration.ts';
import { pack } from '../pack/pack.ts';
import { unpack } from '../pack/unpack.ts';
import { probe } from '../engine/probe.ts';
import type { TransferReport } from '../engine/transfer-options.ts';
import { formatMigrationUri } from '../uri/format-migration-uri.ts';
import { DemoGuest, GUEST_BLOCK, type DemoGuestOptions } from './demo-guest.ts';
import { transferOf, type DemoMeasures } from './demo-measures.ts';
import type { DemoRun } from './demo-run.ts';
import { fillMemory } from './fill-memory.ts';

const MIB = 1024 * 1024;
/** Generations to wait for: then the guest has checked all of its memory itself, twice. */
const GENERATIONS = 3;

/** A QEMU that the demo can use. */
export type UsableQemu = QemuFinding & { readonly path: string; readonly version: string };

export interface GuestDemoMeasures extends DemoMeasures {
  readonly accelerator: string;
}

/**
 * A real guest's way: QEMU's own snapshot is read and compared; then ours is packed of the same guest, restored by a new
 * QEMU and compared, and the guest goes on in there.
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
  const restored = await restoreGuest(run, { ...common, ram: copy, incoming: true }, qemu, region, snapshot, {
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
    saveTo(guest.qmp, uriOf(qemuSnapshot), migrationOptions(run, qemu)),
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
    await saveTo(guest.qmp, uriOf(state), { mappedRam: false, xIgnoreShared: true, signal });
    return pack(snapshot, { state, ram: { [GUEST_BLOCK]: options.ram }, signal });
  });
  return { save: packed.transfer, load: transferOf(unpacked), progress, accelerator };
}

async function restoreGuest(
  run: DemoRun,
  options: DemoGuestOptions,
  qemu: UsableQemu,
  region: GuestRegionOptions,
  snapshot: string,
  saved: { readonly original: string; readonly generation: number },
): Promise<{ readonly qemuLoadMs: number; readonly generation: number }> {
  await using guest = await run.step('start a new QEMU', () => DemoGuest.start(options));
  const startedAt = performance.now();
  await run.step('let it restore our snapshot', () =>
    loadFrom(guest.qmp, uriOf(snapshot), migrationOptions(run, qemu)),
  );
  const qemuLoadMs = performance.now() - startedAt;
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

/** As fast as this QEMU can. */
function migrationOptions(run: DemoRun, qemu: UsableQemu): MigrationOptions {
  const directIo = qemu.directIo && probe(run.disk.path).usesDirectIo;
  return { multifd: true, channels: 2, ...(qemu.directIo ? { directIo } : {}), signal: run.signal };
}

/** The part of its memory that the guest keeps rewriting: 64 MiB, or half of a small guest. */
function regionOf(size: number): { readonly start: number; readonly length: number } {
  return { start: 16 * MIB, length: Math.min(64, Math.floor(size / MIB / 2)) * MIB };
}

function uriOf(filename: string): string {
  return formatMigrationUri({ transport: 'file', filename, offset: 0 });
}
