import { readFile } from 'node:fs/promises';

import test from 'ava';

import { bytesHeld, residentBytes } from '../../ts/host/process-memory.ts';

const entry = (range: string, kind: string, inode: number, rss: number, swap: number): string =>
  [
    `${range} rw-${kind} 00000000 00:00 ${inode}`,
    'Size:              16384 kB',
    `Rss:               ${rss} kB`,
    `Pss:               ${rss} kB`,
    `Swap:              ${swap} kB`,
    'SwapPss:                0 kB',
    'VmFlags: rd wr mr mw me dd',
  ].join('\n');

test('what the kernel has given bounds what anonymous private memory holds', (t) => {
  const smaps = [
    entry('1000-2000', 'p', 0, 4, 0),
    entry('100000-200000', 'p', 0, 16, 8),
    entry('200000-300000', 'p', 0, 1024, 0),
    entry('300000-400000', 's', 77, 4, 0),
    entry('500000-600000', 'p', 78, 4, 0),
  ].join('\n');
  const resident = (from: number, to: number): number | undefined =>
    residentBytes(smaps, { address: from, length: to - from });
  t.is(resident(0x10_0000, 0x20_0000), 24 * 1024);
  t.is(resident(0x10_0000, 0x30_0000), (24 + 1024) * 1024);
  t.is(resident(0x20_0000, 0x20_1000), 4096, 'never more than the stretch');
  t.is(resident(0x18_0000, 0x20_0000), 24 * 1024, 'the pages may be anywhere in the mapping');
  t.is(resident(0x30_0000, 0x40_0000), undefined, 'shared memory is resident elsewhere, too');
  t.is(resident(0x50_0000, 0x60_0000), undefined, 'a file shines through');
  t.is(resident(0x40_0000, 0x41_0000), undefined, 'nothing is there');
  t.is(resident(0x20_0000, 0x31_0000), undefined, 'a part is shared');
  t.is(resident(0xf_0000, 0x20_0000), undefined, 'a part is not mapped');
  t.is(residentBytes('', { address: 0x1000, length: 4096 }), undefined);
});

test('the pages of a process that are not zero are counted up to a limit', async (t) => {
  const maps = await readFile('/proc/self/maps', 'latin1');
  // The program itself is mapped, and starts with the header of an ELF file.
  const [start, end] = (/^(\w+)-(\w+) r/.exec(maps) ?? []).slice(1).map((hex) => Number(`0x${hex}`));
  const stretch = { address: start ?? 0, length: (end ?? 0) - (start ?? 0) };
  const held = await bytesHeld(process.pid, stretch, Number.POSITIVE_INFINITY);
  t.true(held !== undefined && held >= 4096 && held <= stretch.length, `${held}`);
  t.true(((await bytesHeld(process.pid, stretch, 0)) ?? 0) > 0);
  t.is(await bytesHeld(process.pid, { address: 0, length: 4096 }, 0), undefined);
  t.is(await bytesHeld(2 ** 30, stretch, 0), undefined);
});
