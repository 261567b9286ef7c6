import assert from 'node:assert/strict';

import { decodeSeal } from '../../ts/seal/decode-seal.ts';
import { encodeSeal } from '../../ts/seal/encode-seal.ts';
import { roughly, type FuzzTarget } from '../target.ts';

/** Limit in bytes: a seal is in memory before it is decoded. */
const MAX_BYTES = 2 ** 18;

/** The sidecar of a snapshot: the decoded form, when written, is the same bytes. */
export const target: FuzzTarget = {
  dictionary: ['MRAMSEAL'],
  run: async (reader) => {
    const bytes = await reader.read(0, Math.min(reader.size, MAX_BYTES));
    const seal = decodeSeal(bytes, reader.name);
    assert.deepEqual(Buffer.from(encodeSeal(seal)), Buffer.from(bytes));
    const pieces = seal.blocks.reduce((sum, { offsets }) => sum + offsets.length, 0);
    return [roughly(seal.blocks.length), roughly(pieces)].join(' ');
  },
};
