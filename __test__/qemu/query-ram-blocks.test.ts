import test from 'ava';

import { parseRamBlocks } from '../../ts/qemu/memory/query-ram-blocks.ts';

const HEAD =
  '              Block Name    PSize              Offset               Used              Total  HVA  RO\n';

test('a row says what a block is called and how large it is', (t) => {
  const rows = [
    '  pc.ram    4 KiB  0x0000000000000000 0x0000000004000000 0x0000000004000000 0x00007fdb33e00000  rw',
    ' /rom@etc/acpi/tables    4 KiB  0x0000000004080000 0x0000000000020000 0x0000000000200000 0x00007fdb85400000  ro',
    ' m 0    2 MiB  0x0 0x40000000 0x40000000 0x00007fdb85400000  rw',
    ' m1    1 GiB  0x0 0x40000000 0x40000000 0x00007fdb85400000  rw',
  ];
  t.deepEqual(parseRamBlocks(`${HEAD}${rows.join('\n')}\r\n`), [
    {
      id: 'pc.ram',
      usedLength: 0x4000000,
      maxLength: 0x4000000,
      hostPageSize: 4096,
      hostAddress: 0x7fdb33e00000,
    },
    {
      id: '/rom@etc/acpi/tables',
      usedLength: 0x20000,
      maxLength: 0x200000,
      hostPageSize: 4096,
      hostAddress: 0x7fdb85400000,
    },
    {
      id: 'm 0',
      usedLength: 2 ** 30,
      maxLength: 2 ** 30,
      hostPageSize: 2 ** 21,
      hostAddress: 0x7fdb85400000,
    },
    { id: 'm1', usedLength: 2 ** 30, maxLength: 2 ** 30, hostPageSize: 2 ** 30, hostAddress: 0x7fdb85400000 },
  ]);
});

test('a table that is not understood is no table', (t) => {
  for (const table of [
    '',
    HEAD,
    `${HEAD} pc.ram 4 KiB\n`,
    `${HEAD} pc.ram 4 XiB 0x0 0x1 0x1 0x1 rw\n`,
    'x\ny\n',
  ]) {
    t.is(parseRamBlocks(table), undefined, JSON.stringify(table));
  }
});

test('a block without a name is in no migration, and in no list', (t) => {
  const rows = [
    '  m0    4 KiB  0x0000000000000000 0x0000000004000000 0x0000000004000000 0x00007fdb33e00000  rw',
    '        4 KiB  0x0000000004000000 0x0000000001000000 0x0000000001000000 0x00007f926ea00000  rw',
  ];
  t.deepEqual(
    parseRamBlocks(`${HEAD}${rows.join('\n')}\n`)?.map(({ id }) => id),
    ['m0'],
  );
  t.is(parseRamBlocks(`${HEAD}${rows[1]}\n`), undefined);
});
