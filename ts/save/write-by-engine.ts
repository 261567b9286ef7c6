import { bytesToWrite } from '../negotiate/engine-blocks.ts';
import type { SavePlan } from '../negotiate/plan.ts';
import { queryRamBlocks } from '../qemu/query-ram-blocks.ts';
import { createStateFile } from '../engine/state-file.ts';
import { writeAt } from '../io/fd-io.ts';
import { localFile } from '../io/open-source.ts';
import { Packing } from '../pack/packing.ts';
import type { PackOptions } from '../pack/pack-options.ts';
import { checkSaved } from './check-saved.ts';
import { ConfirmedMemory } from './confirmed-memory.ts';
import { migrateGuest } from './migrate-guest.ts';
import { recordRunState } from './run-state/record-run-state.ts';
import type { SaveOptions } from './save-options.ts';
import type { FileSaveRun, Written } from './save-run.ts';
import { withFile } from './write-by-qemu.ts';

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
  const others = plan.qemu.memory.filter(({ id }) => !plan.engineBlocks.some((block) => block.id === id));
  const inState = others.map((block) => ({ length: bytesToWrite(block) }));
  await using state = await createStateFile(inState);
  const place = { path: state.procPath, offset: 0, direct: false };
  const migration = await withFile(run, place, (address) =>
    migrateGuest(qmp, address, { timeoutMs, signal, place: `${state.place}, the device state` }),
  );
  const intoState = {
    writeAt: (bytes: Uint8Array, offset: number) => writeAt(state.fd, 'the device state', bytes, offset),
  };
  const unrecorded = await recordRunState({ fd: state.fd }, intoState, run.before);
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
  return { ...saved, warnings: [...saved.warnings, ...unrecorded], migration, transfer };
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
