import { createStateFile } from '../../engine/state-file.ts';
import { MappedRamError } from '../../errors.ts';
import type { AnonymousFile } from '../../io/anonymous-file.ts';
import { writeAt } from '../../io/fd-io.ts';
import { writePieces } from '../../io/write-pieces.ts';
import { splitFullSections } from '../../stream/read/split-full-sections.ts';
import type { RandomAccessReader } from '../../stream/reader.ts';
import type { StreamIndex } from '../../stream/stream-index.ts';
import {
  type ComposeOptions,
  composeState,
  type MachineFacts,
  streamMachine,
} from '../../stream/write/compose-state.ts';
import type { RamBlockRow } from '../memory/query-ram-blocks.ts';

export interface LoadableStateOptions extends Pick<ComposeOptions, 'runState' | 'members'> {
  /** `queryMachineIdentity`. */
  readonly machine: Pick<MachineFacts, 'machine' | 'target'>;
  /** QEMU's blocks while the guest stands still: `queryRamBlocks`. */
  readonly rows: readonly RamBlockRow[];
  /** The index of a complete snapshot of this machine, which describes its devices. @default none */
  readonly base?: StreamIndex | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Makes a stream that loads out of device state alone, in a file without a name: `pack` takes it as its `state`, with
 * the memory of every block given. The guest need not stand still for this.
 *
 * @param state a reader of what `DeviceState.write` has written
 * @returns the file, which is the caller's to close
 * @throws {MappedRamError} as `streamMachine`, `splitFullSections` and `composeState`; ERR_MAPPED_RAM_IO
 */
export async function makeLoadableState(
  state: RandomAccessReader,
  { machine, rows, base, runState, members, signal }: LoadableStateOptions,
): Promise<AnonymousFile> {
  const { configuration, targetPageSize } = streamMachine({ ...machine, base });
  if (rows.length === 0) {
    throw new MappedRamError('ERR_MAPPED_RAM_UNSUPPORTED', 'QEMU does not list its RAM blocks');
  }
  const { pieces } = await composeState(state, {
    sections: await splitFullSections(state),
    configuration,
    target: machine.target,
    targetPageSize,
    blocks: rows.map(({ id, usedLength: length }) => ({ id, length })),
    base,
    runState,
    members,
  });
  const file = await createStateFile([]);
  try {
    const output = {
      writeAt: (bytes: Uint8Array, offset: number) => writeAt(file.fd, 'the composed state', bytes, offset),
    };
    await writePieces(output, pieces, state, signal);
    return file;
  } catch (error) {
    await file.close();
    throw error;
  }
}
