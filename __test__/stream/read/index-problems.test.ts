import test from 'ava';

import { MappedRamError } from '../../../ts/errors.ts';
import { encodeCommand } from '../../../ts/stream/command.ts';
import { readStreamIndex, type RamBlock } from '../../../ts/stream/index.ts';
import { encodePlainRamStart } from '../../../ts/stream/write/encode-ram.ts';
import { beginning, model, plain, timer } from '../broken-streams.ts';
import { buildStream } from '../../support/stream-builder.ts';
import { StrictReader } from '../strict-reader.ts';

test('an index keeps what stands in front of the damage', async (t) => {
  const { bytes, records } = buildStream({ ...model, devices: [timer, { ...timer, instanceId: 1 }] });
  const sections = records.filter((record) => record.type === 'section');
  bytes[sections.at(-1)?.footerOffset ?? 0] = 0;
  const index = await readStreamIndex(new StrictReader(bytes));
  t.false(index.complete);
  t.is(index.problem?.code, 'ERR_MAPPED_RAM_CORRUPT');
  t.deepEqual(
    index.sections.map(({ instanceId }) => instanceId),
    [0],
  );
  t.is(index.ram?.blocks.length, 2);
  t.is(index.eofOffset, undefined);
});

test('a block whose pages are cut off is not listed', async (t) => {
  const { bytes, records } = buildStream(model);
  const blocks = records.filter((record) => record.type === 'ram-block');
  const second = blocks[1]?.mapped?.area.pagesOffset ?? 0;
  const index = await readStreamIndex(new StrictReader(bytes.subarray(0, second + 4095)));
  t.is(index.problem?.code, 'ERR_MAPPED_RAM_TRUNCATED');
  t.deepEqual(
    index.ram?.blocks.map(({ id }) => id),
    ['a'],
  );
});

test('what the reader throws goes through, wherever in the stream', async (t) => {
  const { bytes } = buildStream(model);
  for (const good of [0, 1, 2, 3]) {
    let reads = 0;
    const failing = {
      name: 'failing',
      size: bytes.length,
      read: async (offset: number, length: number): Promise<Uint8Array> => {
        reads += 1;
        if (reads > good) throw new MappedRamError('ERR_MAPPED_RAM_IO', 'no medium');
        return bytes.subarray(offset, offset + length);
      },
    };
    await t.throwsAsync(readStreamIndex(failing), { code: 'ERR_MAPPED_RAM_IO' });
  }
});

test('more blocks than any guest has are refused', async (t) => {
  const blocks = Array.from({ length: 16_385 }, (_, index) => ({ id: `b${index}`, length: 4096 }));
  const few = withPlainBlocks(blocks.slice(1));
  t.is((await readStreamIndex(new StrictReader(few))).ram?.blocks.length, 16_384);
  const index = await readStreamIndex(new StrictReader(withPlainBlocks(blocks)));
  t.regex(index.problem?.message ?? '', /number of RAM blocks/);
});

test('more commands than any stream has are refused', async (t) => {
  const builder = beginning();
  const command = encodeCommand(11);
  const commands = new Uint8Array(Buffer.concat(Array.from({ length: 65_538 }, () => command)));
  const index = await readStreamIndex(new StrictReader(builder.raw(commands).raw(Uint8Array.of(0)).bytes));
  t.regex(index.problem?.message ?? '', /more than 65536 sections and commands/);
});

function withPlainBlocks(blocks: readonly RamBlock[]): Uint8Array {
  return new Uint8Array(
    Buffer.concat([encodePlainRamStart({ configuration: plain, blocks }), Uint8Array.of(0)]),
  );
}

test('a reader that gives less than asked for is a truncated file', async (t) => {
  const { bytes } = buildStream(model);
  const short = {
    name: 'short',
    size: bytes.length,
    read: async (offset: number, length: number): Promise<Uint8Array> =>
      bytes.subarray(offset, offset + length - 1),
  };
  await t.throwsAsync(readStreamIndex(short), { code: 'ERR_MAPPED_RAM_TRUNCATED' });
});

for (const offset of [-1, 0.5, 2 ** 53]) {
  test(`${offset} is no place for a stream to start`, async (t) => {
    await t.throwsAsync(readStreamIndex(new StrictReader(new Uint8Array(9)), { offset }), {
      code: 'ERR_MAPPED_RAM_OUT_OF_RANGE',
    });
  });
}
