import assert from 'node:assert/strict';

import test from 'ava';

import { MappedRamError } from '../../../ts/errors.ts';
import { assembleMappedRam, readStreamIndex } from '../../../ts/stream/index.ts';
import { readStreamHead } from '../../../ts/stream/read/read-stream-head.ts';
import { layoutAround } from '../../../ts/stream/write/assemble.ts';
import { mappedConfiguration } from '../../../ts/stream/write/configuration-forms.ts';
import { model, plain } from '../broken-streams.ts';
import { buildStream } from '../../support/stream-builder.ts';
import { StrictReader } from '../strict-reader.ts';

const { bytes } = buildStream({ ...model, configuration: plain });

test('the head of a stream is there as soon as the block list is, and not before', async (t) => {
  const index = await readStreamIndex(new StrictReader(bytes));
  const end = index.ram?.startEnd ?? 0;
  t.true(end > 0 && end < bytes.length);
  for (let size = 0; size < end; size += 1) {
    const early = await readStreamHead(new StrictReader(bytes.subarray(0, size)), { targetPageSize: 4096 });
    t.is(early, undefined, `${size} of ${end} bytes`);
  }
  const head = await readStreamHead(new StrictReader(bytes.subarray(0, end)), { targetPageSize: 4096 });
  t.deepEqual(head?.configuration, index.configuration);
  t.deepEqual(head?.ram?.blocks, index.ram?.blocks);
  t.is(head?.ram?.sectionId, index.ram?.sectionId);
});

test('the head of a state puts memory where the whole state does', async (t) => {
  const state = await readStreamIndex(new StrictReader(bytes));
  const head = await readStreamHead(new StrictReader(bytes.subarray(0, state.ram?.startEnd)), {
    targetPageSize: 4096,
  });
  assert(head !== undefined);
  const { blocks } = model;
  const configuration = mappedConfiguration(state.configuration);
  for (const base of [0, 12_288]) {
    const { layout } = assembleMappedRam({ state, configuration, blocks, base });
    t.deepEqual(layoutAround({ state: head, configuration, blocks, base }), layout);
  }
});

test('what a file without an end lacks is no error, but what its medium says is', async (t) => {
  const failing = {
    name: 'failing',
    size: bytes.length,
    read: async (): Promise<Uint8Array> => {
      throw new MappedRamError('ERR_MAPPED_RAM_IO', 'no medium');
    },
  };
  await t.throwsAsync(readStreamHead(failing, {}), { code: 'ERR_MAPPED_RAM_IO' });
});
