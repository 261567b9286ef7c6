import { createMemoryFile } from '../engine/memory-file.ts';
import { resize, writeAt } from '../io/fd-io.ts';
import { AnonymousFile } from '../io/anonymous-file.ts';
import { writePieces } from '../io/write-pieces.ts';
import { readStreamIndex } from '../stream/read/read-stream-index.ts';
import { encodeEof, encodeSectionContinuation } from '../stream/section.ts';
import { bytesReader, type RandomAccessReader } from '../stream/reader.ts';
import { assembleMappedRam } from '../stream/write/assemble.ts';
import { ByteWriter } from '../stream/write/byte-writer.ts';
import type { StreamMachine } from '../stream/write/compose-state.ts';
import { mappedConfiguration } from '../stream/write/configuration-forms.ts';
import { encodePlainRamStart, encodeRamEos } from '../stream/write/encode-ram.ts';
import type { RamBlock } from '../stream/write/layout.ts';
import { RAM_SECTION_ID } from '../stream/constants.ts';

/**
 * Makes the file that the QEMUs of a fork map before it is filled: a snapshot of this machine in memory, without a name,
 * whose pages are all holes and which has no device. A private mapping shows what a file has until it is written to, and
 * a QEMU that waits touches none of its guest's memory.
 *
 * @param blocks the machine's blocks, in QEMU's order
 * @returns the file, which is the caller's to close
 * @throws {MappedRamError} ERR_MAPPED_RAM_IO; as `assembleMappedRam`
 */
export async function createSlotFile(
  { configuration, targetPageSize }: StreamMachine,
  blocks: readonly RamBlock[],
): Promise<AnonymousFile> {
  const state = emptyState({ configuration, targetPageSize }, blocks);
  const { pieces, endOffset } = assembleMappedRam({
    state: await readStreamIndex(state),
    configuration: mappedConfiguration(configuration),
    blocks,
    vmdescription: undefined,
  });
  const file = new AnonymousFile(await createMemoryFile('mapped-ram-fork'), 'memory');
  try {
    const name = 'the memory of the fork';
    await resize(file.fd, name, endOffset);
    const output = { writeAt: (bytes: Uint8Array, offset: number) => writeAt(file.fd, name, bytes, offset) };
    await writePieces(output, pieces, state, undefined);
    return file;
  } catch (error) {
    await file.close();
    throw error;
  }
}

/** A stream that lists blocks, and has neither pages nor devices. */
function emptyState(machine: StreamMachine, blocks: readonly RamBlock[]): RandomAccessReader {
  const bytes = new ByteWriter()
    .bytes(encodePlainRamStart({ ...machine, blocks }))
    .bytes(encodeSectionContinuation('end', RAM_SECTION_ID))
    .bytes(encodeRamEos())
    .bytes(encodeEof())
    .finish();
  return bytesReader(bytes, 'a guest without devices');
}
