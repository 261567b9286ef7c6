import type { SavePlan } from '../negotiate/plan.ts';
import { queryRamBlocks } from '../qemu/query-ram-blocks.ts';
import { createStateFile } from '../engine/state-file.ts';
import { localFile } from '../io/open-source.ts';
import { Packing } from '../pack/packing.ts';
import type { PackOptions } from '../pack/pack-options.ts';
import { checkSaved } from './check-saved.ts';
import { ConfirmedMemory } from './confirmed-memory.ts';
import { migrateGuest } from './migrate-guest.ts';
import type { SaveOptions } from './save-options.ts';
import type { FileSaveRun, Written } from './save-run.ts';
import { withFdSet } from './write-by-qemu.ts';

/**
 * Saves by the engine. QEMU writes its device state, which takes milliseconds. The engine's channels write the memory,
 * out of the files that QEMU shares.
 * @param whenWritten called when the memory has been read
 * @throws {MappedRamError} as `migrateGuest`, `pack` and `checkSaved`; ERR_MAPPED_RAM_QEMU when somebody let the guest
 *   run meanwhile, or QEMU does not use a memory file any more
 */
export async function writeByEngine(run: FileSaveRun, whenWritten: () => Promise<void>): Promise<Written> {
  const { qmp, plan, output, sealing, options, guest, progress } = run;
  const { timeoutMs, signal } = options;
  progress.step('state');
  const rows = await queryRamBlocks(qmp, { signal });
  await using memory = await ConfirmedMemory.open(qmp, plan.engineBlocks, rows ?? []);
  const small = plan.qemu.memory.filter(({ id }) => !plan.engineBlocks.some((block) => block.id === id));
  await using state = await createStateFile(small);
  const place = { path: state.procPath, access: 'write', direct: false } as const;
  const migration = await withFdSet(plan.fdset.value, run, place, (filename) =>
    migrateGuest(
      qmp,
      { transport: 'file', filename, offset: 0 },
      { timeoutMs, signal, place: `${state.place}, the device state` },
    ),
  );
  const packOptions: PackOptions = {
    ...transferOptions(plan, options),
    state: state.procPath,
    ram: memory.locations,
    seal: options.seal,
    sealPath: options.sealPath,
    onProgress: (moved) => progress.fromEngine(moved),
  };
  const { path, offset } = plan.target;
  await using packing = await Packing.open(packOptions, path === undefined ? undefined : { path, offset });
  progress.step('memory');
  const onMemoryRead = async (): Promise<void> => {
    await guest.assertStoodStill({ signal });
    await whenWritten();
    progress.step('publish');
  };
  const { transfer } = await packing.write(output, packOptions, { onMemoryRead, sealing });
  const { fd } = localFile(output, 'a save');
  const { dataBytes } = transfer;
  const saved = await checkSaved({ fd, offset: output.offset }, { plan, dataBytes, rows, stoodStill: true });
  signal?.throwIfAborted();
  return { ...saved, migration, transfer };
}

function transferOptions({ channels, directIo }: SavePlan, options: SaveOptions): Omit<PackOptions, 'state'> {
  const { queueDepth, requestSize, ioEngine, signal } = options;
  return {
    channels: channels.value,
    directIo: directIo.value ? (options.directIo ?? 'auto') : 'off',
    queueDepth,
    requestSize,
    ioEngine,
    signal,
  };
}
