import test from 'ava';
import * as fc from 'fast-check';

import { findMainMemory } from '../../ts/stream/main-memory.ts';

const MIB = 2 ** 20;

interface Block {
  readonly id: string;
  readonly length: number;
}

function block(id: string, mebibytes: number): Block {
  return { id, length: mebibytes * MIB };
}

/** Blocks of boards and devices, some with names that an object could have. */
const DEVICES: readonly Block[] = [
  block('pc.bios', 0.25),
  block('tpm-crb-cmd', 1 / 256),
  block('vmclock_page', 1 / 256),
  block('virt.flash0', 64),
  block('virt.secure-ram', 16),
  block('mach-virt.tag', 2),
  block('vga.vram', 64),
  block('vmsvga.fifo', 64),
  block('/rom@etc/acpi/tables', 2),
  block('0000:00:02.0/vga.vram', 64),
  block('0000:00:03.0/shared', 64),
  block('', 64),
];

test("the machine's own block is main memory, whatever else is in the file", (t) => {
  const name = fc.oneof(
    fc.stringMatching(/^[a-z][a-z0-9._-]{0,20}$/),
    fc.stringMatching(/^0000:00:[0-9a-f]{2}\.[0-7]\/[a-z.]{1,20}$/),
    fc.string(),
  );
  const others = fc.array(fc.record({ id: name, length: fc.nat(2 ** 40) }));
  const machine = fc.constantFrom(
    ['pc-q35-10.0', 'pc.ram'],
    ['virt-10.0', 'mach-virt.ram'],
    ['microvm', 'microvm.ram'],
  );
  fc.assert(
    fc.property(machine, others, fc.boolean(), ([type = '', id = ''], more, isFirst) => {
      const own = block(id, 64);
      const rest = more.filter((other) => other.id !== id);
      const blocks = isFirst ? [own, ...rest] : [...rest, own];
      const found = findMainMemory({ machine: type, blocks, isTotal: () => false });
      t.deepEqual([found.main, found.isDefault], [own, true]);
    }),
    { numRuns: 300 },
  );
});

test('one memory backend among the blocks of devices is main memory', (t) => {
  for (const machine of ['pc-q35-10.0', 'virt-10.0', 'a-machine-of-next-year']) {
    for (const ram of [block('ram0', 64), block('/objects/ram0', 64)]) {
      const next = block('buffer-of-next-year', 1 / 256);
      for (const isTotal of [undefined, (bytes: number) => bytes === 64 * MIB]) {
        const { main, isDefault } = findMainMemory({ machine, blocks: [...DEVICES, next, ram], isTotal });
        t.is(main, ram, machine);
        t.is(isDefault, machine.startsWith('a-') ? undefined : false);
      }
    }
  }
});

test('the size tells a memory device and a large unknown block from main memory', (t) => {
  const [ram, dimm, unknown] = [block('ram0', 64), block('d0', 128), block('memory-of-next-year', 32)];
  const facts = { machine: 'pc-q35-10.0', blocks: [dimm, ram, unknown, ...DEVICES] };
  t.is(findMainMemory({ ...facts, isTotal: (bytes) => bytes === 64 * MIB }).main, ram);
  const open = findMainMemory(facts);
  t.is(open.main, undefined);
  t.deepEqual(open.candidates, [dimm, ram, unknown]);
  t.is(findMainMemory({ ...facts, isTotal: () => true }).main, undefined);
});

test('what a QEMU says of the machine type counts more than the table', (t) => {
  const blocks = [block('next.ram0', 64), block('buffer', 64)];
  const found = findMainMemory({ machine: 'a-machine-of-next-year', blocks, defaultRam: 'next.ram0' });
  t.deepEqual([found.main, found.isDefault], [blocks[0], true]);
});

test('nothing but the blocks of a board is no memory for a backend', (t) => {
  t.is(findMainMemory({ machine: 'pc-q35-10.0', blocks: DEVICES }).main, undefined);
  t.deepEqual(findMainMemory({ machine: 'lx60', blocks: [block('xtensa.sysram0', 64)] }).candidates, []);
});
