import { open } from 'node:fs/promises';

import { CAPABILITY_MAPPED_RAM } from '../../ts/stream/constants.ts';
import {
  assembleMappedRam,
  bytesReader,
  readStreamIndex,
  readVmdescriptionFor,
} from '../../ts/stream/index.ts';
import { syntheticState } from './synthetic.ts';

/** Writes a snapshot whose block pc.ram has `length` zero bytes: a few KiB and a hole. */
export async function writeSparseSnapshot(path: string, length: number): Promise<void> {
  const blocks = [{ id: 'pc.ram', length }];
  const bytes = syntheticState({ blocks });
  const reader = bytesReader(bytes);
  const state = await readStreamIndex(reader);
  const configuration = { machine: state.machine, capabilities: [CAPABILITY_MAPPED_RAM] };
  const { pieces, endOffset } = assembleMappedRam({
    state,
    configuration,
    blocks,
    vmdescription: await readVmdescriptionFor(reader, state, configuration),
  });
  const handle = await open(path, 'w');
  try {
    await handle.truncate(endOffset);
    for (const piece of pieces) {
      const { offset, length: size } = piece.source ?? { offset: 0, length: 0 };
      const part = piece.bytes ?? bytes.subarray(offset, offset + size);
      await handle.write(part, 0, part.length, piece.offset);
    }
  } finally {
    await handle.close();
  }
}
