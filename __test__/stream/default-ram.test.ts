import test from 'ava';

import { defaultRamIds } from '../../ts/stream/default-ram.ts';

test('a machine type tells the name of its memory, whatever its version', (t) => {
  for (const machine of [
    'pc',
    'q35',
    'pc-q35-10.0',
    'pc-i440fx-2.12',
    'pc-q35-rhel9.4.0',
    'pc-i440fx-noble',
    'isapc',
  ]) {
    t.deepEqual(defaultRamIds(machine), ['pc.ram'], machine);
  }
  t.deepEqual(defaultRamIds('s390-ccw-virtio-rhel9.4.0'), ['s390.ram']);
  t.deepEqual(defaultRamIds('pseries-9.2'), ['ppc_spapr.ram']);
  for (const id of ['mach-virt.ram', 'riscv_virt_board.ram', 'loongarch.ram', 'm68k_virt.ram']) {
    t.true(defaultRamIds('virt')?.includes(id), id);
    t.true(defaultRamIds('virt-11.0')?.includes(id), id);
  }
});

test('boards that make their memory themselves are told from unknown machines', (t) => {
  t.deepEqual(defaultRamIds('lx60'), []);
  t.is(defaultRamIds('a-machine-of-next-year'), undefined);
  t.is(defaultRamIds(''), undefined);
  t.is(defaultRamIds('pcx'), undefined);
});
