import assert from 'node:assert/strict';

import {
  assembleMappedRam,
  readStreamIndex,
  readVmdescriptionFor,
  type AssembleOptions,
  type RamBlock,
  type StreamIndex,
  type StreamPiece,
} from '../../ts/stream/index.ts';
import { assemblePlain } from '../../__test__/support/assemble-plain.ts';
import type { Extent } from '../sparse-input.ts';
import { roughly, DEFAULT_LIMITS, INPUT_CODES, type FuzzTarget } from '../target.ts';
import { WatchedReader } from '../watched-reader.ts';

/** Limit in bytes: a hole in a device section is of no use here, and can be as large as a file. */
const MAX_PIECE = 2 ** 16;

const LIMITS = { ...DEFAULT_LIMITS, bytesAtOnce: 16 * 2 ** 20 };

/**
 * Carries the device state of one stream behind a new beginning, in both forms: it can be read again, and it is the
 * same. A stream whose numbers leave no room for another beginning may be refused.
 */
export const target: FuzzTarget = {
  limits: { bytesAtOnce: LIMITS.bytesAtOnce },
  codes: [...INPUT_CODES, 'ERR_MAPPED_RAM_INVALID_ARGUMENT', 'ERR_MAPPED_RAM_OUT_OF_RANGE'],
  run: async (reader) => {
    const state = await readStreamIndex(reader);
    if (!state.complete || state.ram === undefined) return 'incomplete';
    if (state.sections.some(({ length }) => length > MAX_PIECE)) return 'large';
    for (const form of ['mapped-ram', 'plain'] as const) {
      const others = state.capabilities.filter((capability) => capability !== 'mapped-ram');
      const capabilities = form === 'plain' ? others : [...others, form];
      const configuration = { ...state.configuration, capabilities };
      const vmdescription = await readVmdescriptionFor(reader, state, configuration);
      const blocks = blocksOf(state, form);
      const options = { state, configuration, blocks, vmdescription };
      await assertSame(reader, state, form, await assembled(reader, form, options));
    }
    return [state.ram.form, roughly(state.ram.blocks.length), roughly(state.sections.length)].join(' ');
  },
};

function blocksOf({ ram }: StreamIndex, form: string): readonly RamBlock[] {
  if (ram?.form !== 'mapped-ram') return ram?.blocks ?? [];
  return ram.blocks.map(({ id, length, address, skipped }) => {
    const block = { id, length, skipped: skipped && form === 'mapped-ram' };
    return address === undefined ? block : Object.assign(block, { address });
  });
}

async function assembled(
  reader: WatchedReader,
  form: 'mapped-ram' | 'plain',
  options: AssembleOptions,
): Promise<WatchedReader> {
  const { pieces, endOffset } = form === 'plain' ? assemblePlain(options) : assembleMappedRam(options);
  const extents: Extent[] = [];
  for (const piece of pieces) extents.push({ offset: piece.offset, bytes: await bytesOf(reader, piece) });
  return new WatchedReader({ size: endOffset, extents }, LIMITS);
}

async function bytesOf(reader: WatchedReader, piece: StreamPiece): Promise<Uint8Array> {
  return piece.bytes ?? reader.read(piece.source.offset, piece.source.length);
}

async function assertSame(
  from: WatchedReader,
  before: StreamIndex,
  form: string,
  to: WatchedReader,
): Promise<void> {
  const after = await readStreamIndex(to);
  assert.ifError(after.problem);
  assert.equal(after.ram?.form, form);
  assert.deepEqual(
    after.ram?.blocks.map(({ id, length }) => [id, length]),
    before.ram?.blocks.map(({ id, length }) => [id, length]),
  );
  assert.equal(after.sections.length, before.sections.length);
  for (const [place, section] of before.sections.entries()) {
    const copy = after.sections[place];
    assert.ok(copy !== undefined);
    assert.deepEqual(
      await to.read(copy.offset, copy.length),
      await from.read(section.offset, section.length),
    );
  }
  assert.deepEqual(after.vmdescription?.json?.devices, before.vmdescription?.json?.devices);
}
