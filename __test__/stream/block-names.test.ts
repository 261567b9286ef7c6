import test from 'ava';

import { isFirmware } from '../../ts/stream/block-names.ts';

/** The names that QEMU 10.0.2's machines give their pflash, and other blocks that they have. */
const FIRMWARE = [
  'system.flash0',
  'system.flash1',
  'virt.flash0',
  'virt.flash1',
  'sbsa.flash0',
  'vexpress.flash1',
  'versatile.flash',
  'e500.flash',
  'virtex.flash',
  'sam460ex.flash',
  'musicpal.flash',
  'zynq.pflash',
  'collie.fl1',
  'omap_sx1.flash0-1',
  'mips_malta.bios',
  'isa-bios',
];
const OTHERS = [
  'pc.ram',
  'mach-virt.ram',
  'flashback',
  'pc.bios',
  'pc.rom',
  'riscv_virt_board.mrom',
  '/rom@etc/acpi/tables',
  '0000:00:01.0/e1000.rom',
  '0000:00:02.0/vga.vram',
  'virt.flash0.ram',
  'my-flash-disk',
];

test('firmware is the pflash of every machine, and nothing else', (t) => {
  for (const id of FIRMWARE) t.true(isFirmware(id), id);
  for (const id of OTHERS) t.false(isFirmware(id), id);
});
