import { open, readFile, rm, writeFile } from 'node:fs/promises';

import type { ExecutionContext } from 'ava';

import { extract, Snapshot, type PhysicalMap } from '../../ts/index.ts';
import { QemuProcess } from '../../ts/qemu/process/qemu-process.ts';
import { covered, memoryAt, readCore } from '../support/core-file.ts';
import { asMapped, mappedByQemu } from '../support/flat-view.ts';
import { saveTo } from '../support/plain-migration.ts';
import { QEMU_BINARY, qemuTest } from '../support/qemu-required.ts';
import { TestGuest } from '../support/qemu.ts';
import { temporaryDirectory, type TemporaryDirectory } from '../support/temporary.ts';

const PAGE = 4096;
const VGA_WINDOW = { start: 0xa0000, end: 0xc0000 };
/** A firmware that halts: whatever a test writes to the hardware stays. */
const HALT = 0xf4;

/** One write to the hardware, in the words of QEMU's monitor: `b` is a byte, `h` are two, `w` are four. */
type Write = readonly [size: 'b' | 'h' | 'w', port: number, value: number];

function sequencer(register: number, value: number): readonly Write[] {
  return [
    ['b', 0x3c4, register],
    ['b', 0x3c5, value],
  ];
}

function graphics(register: number, value: number): readonly Write[] {
  return [
    ['b', 0x3ce, register],
    ['b', 0x3cf, value],
  ];
}

function vbe(register: number, value: number): readonly Write[] {
  return [
    ['h', 0x1ce, register],
    ['h', 0x1cf, value],
  ];
}

/** Writes to a configuration space on the root bus. */
function pci(device: number, register: number, value: number, size: 'b' | 'h' | 'w' = 'w'): readonly Write[] {
  return [
    ['w', 0xcf8, 0x8000_0000 + device * 0x800 + (register & 0xfc)],
    [size, 0xcfc + (register & 3), value],
  ];
}

const VBE = { width: 1, height: 2, bits: 3, enable: 4, bank: 5 };
const LINEAR = 0x41;
const BAR0 = 0x10;
const COMMAND = 4;
const ROM_BAR = 0x30;

interface Step {
  readonly title: string;
  readonly writes: readonly Write[];
  /** True where the file does not tell what is in the VGA's window. */
  readonly isUnknown?: boolean;
  /** The number of ranges of video memory that QEMU has mapped, so that something is compared. */
  readonly shown?: number;
}

function vbeMode(bits: number): readonly Write[] {
  const size = [...vbe(VBE.width, 320), ...vbe(VBE.height, 200)];
  return [...vbe(VBE.enable, 0), ...size, ...vbe(VBE.bits, bits), ...vbe(VBE.enable, LINEAR)];
}

/** The modes of a standard VGA, one after another. */
const STANDARD: readonly Step[] = [
  { title: 'after power-on', writes: [] },
  {
    title: 'text mode 3',
    writes: [...sequencer(2, 3), ...sequencer(4, 2), ...graphics(5, 0x10), ...graphics(6, 0xe)],
  },
  {
    title: 'mode 12h: planes',
    writes: [...sequencer(2, 0xf), ...sequencer(4, 6), ...graphics(5, 0), ...graphics(6, 5)],
  },
  {
    title: 'mode 13h: bytes',
    writes: [...sequencer(4, 0xe), ...graphics(5, 0x40), ...graphics(6, 5)],
    shown: 1,
  },
  { title: 'mode 13h, a plane off', writes: sequencer(2, 7) },
  { title: 'mode X: planes', writes: [...sequencer(2, 0xf), ...sequencer(4, 6)] },
  { title: '128 KiB', writes: [...sequencer(4, 0xe), ...graphics(6, 1)], shown: 1 },
  { title: 'at 0xb0000', writes: graphics(6, 9), shown: 1 },
  { title: 'at 0xb8000', writes: graphics(6, 0xd), shown: 1 },
  { title: 'odd and even', writes: [...graphics(5, 0x50), ...graphics(6, 0xf)], shown: 1 },
  { title: 'a bank without VBE', writes: [...graphics(6, 5), ...vbe(VBE.bank, 5)], shown: 1 },
  { title: 'VBE, 8 bits', writes: vbeMode(8), shown: 1 },
  { title: 'VBE, bank 3', writes: vbe(VBE.bank, 3), shown: 1 },
  { title: 'VBE, a map that is not obeyed', writes: graphics(6, 0xd), shown: 1 },
  { title: 'VBE over text mode', writes: [...sequencer(2, 3), ...sequencer(4, 2)], shown: 1 },
  { title: 'text mode again', writes: vbe(VBE.enable, 0) },
  { title: 'VBE, 32 bits', writes: vbeMode(32), shown: 1 },
  { title: 'VBE, 15 bits', writes: vbeMode(15), shown: 1 },
  { title: 'VBE, 4 bits', writes: vbeMode(4), isUnknown: true },
  { title: 'VBE off', writes: vbe(VBE.enable, 0) },
];

/** The modes of a Cirrus. QEMU follows the bit of register 7 only at the next write to another register. */
const CIRRUS: readonly Step[] = [
  { title: 'text mode', writes: [...graphics(0xb, 0), ...graphics(5, 0x10), ...graphics(6, 0xe)] },
  { title: 'extended', writes: [...sequencer(7, 1), ...graphics(0xb, 0), ...graphics(5, 0x40)], shown: 1 },
  { title: 'one bank', writes: graphics(9, 0x10), shown: 1 },
  { title: 'large banks', writes: [...graphics(0xb, 0x20), ...graphics(9, 3)], shown: 1 },
  { title: 'two banks', writes: [...graphics(0xb, 1), ...graphics(9, 5), ...graphics(10, 0x20)], shown: 2 },
  { title: 'two large banks', writes: graphics(0xb, 0x21), shown: 2 },
  { title: 'the last bank', writes: [...graphics(0xb, 0x20), ...graphics(9, 0x7f)] },
  { title: 'a bank behind the memory', writes: graphics(9, 0xff) },
  { title: 'writes of 8 bytes', writes: [...graphics(9, 1), ...graphics(5, 4), ...graphics(0xb, 4)] },
  { title: 'an extended mode of planes', writes: graphics(5, 6), shown: 1 },
  { title: 'writes of 16 bits', writes: graphics(0xb, 0x14) },
  { title: 'addresses by eight', writes: graphics(0xb, 2) },
  { title: 'memory again', writes: graphics(0xb, 0), shown: 1 },
  { title: 'registers in memory', writes: sequencer(0x17, 0x44) },
  { title: 'text mode again', writes: [...sequencer(0x17, 0), ...sequencer(7, 0), ...graphics(0xb, 0)] },
];

/** The places where a guest can put the BARs of the card in slot 1 (q35) or 2 (pc). */
function bars(device: number, register: number): readonly Step[] {
  return [
    { title: 'a BAR, decoding off', writes: pci(device, register, 0xe800_0000) },
    { title: 'a BAR', writes: pci(device, COMMAND, 3, 'b') },
    { title: 'a BAR that was moved', writes: pci(device, register, 0xe200_0000) },
    { title: 'a BAR over the chips', writes: pci(device, register, 0xfe00_0000) },
    { title: 'a BAR at the end of 4 GiB', writes: pci(device, register, 0xffff_0000) },
    { title: 'a BAR under the RAM', writes: pci(device, register, 0x0200_0000) },
    { title: 'a ROM', writes: [...pci(device, register, 0), ...pci(device, ROM_BAR, 0xe900_0001)] },
    { title: 'a ROM at the end of 4 GiB', writes: pci(device, ROM_BAR, 0xffff_f801) },
  ];
}

const SMRAM_Q35 = 0x9c;
const Q35_BRIDGE: readonly Step[] = [
  { title: 'SMRAM open', writes: pci(0, SMRAM_Q35 + 1, 0x4a, 'b') },
  { title: 'TSEG, 1 MiB', writes: [...pci(0, SMRAM_Q35 + 1, 0x0a, 'b'), ...pci(0, SMRAM_Q35 + 2, 1, 'b')] },
  { title: 'TSEG, 8 MiB', writes: pci(0, SMRAM_Q35 + 2, 5, 'b') },
  { title: 'TSEG, 16 MiB', writes: pci(0, SMRAM_Q35 + 2, 7, 'b') },
  { title: 'TSEG, size asked for', writes: pci(0, 0x50, 0xffff, 'h') },
  { title: 'TSEG off', writes: pci(0, SMRAM_Q35 + 2, 0, 'b') },
  { title: 'SMBASE', writes: [...pci(0, SMRAM_Q35, 0xff, 'b'), ...pci(0, SMRAM_Q35, 3, 'b')] },
  { title: 'half of the first MiB open', writes: pci(0, 0x90, 0x3010_2130) },
];

/** QEMU does not write the registers of cards for ISA. */
function unknown({ title, writes }: Step): Step {
  return { title, writes, isUnknown: true };
}

interface Cards {
  readonly title: string;
  readonly machine: string;
  readonly devices: string;
  readonly steps: readonly Step[];
}

const CARDS: readonly Cards[] = [
  {
    title: 'VGA, q35',
    machine: 'q35',
    devices: '-device VGA',
    steps: [...STANDARD, ...bars(1, BAR0), ...Q35_BRIDGE],
  },
  {
    title: 'VGA with little memory, pc',
    machine: 'pc',
    devices: '-device VGA,vgamem_mb=1',
    steps: [...STANDARD, ...bars(2, BAR0), { title: 'SMRAM open', writes: pci(0, 0x72, 0x4a, 'b') }],
  },
  {
    title: 'virtio-vga',
    machine: 'q35',
    devices: '-device virtio-vga',
    steps: [...STANDARD, ...bars(1, BAR0)],
  },
  {
    title: 'vmware-svga',
    machine: 'pc',
    devices: '-device vmware-svga',
    steps: [...STANDARD, ...bars(2, BAR0 + 4), { title: 'commands', writes: pci(2, BAR0 + 8, 0xea00_0000) }],
  },
  { title: 'isa-vga', machine: 'pc', devices: '-device isa-vga', steps: STANDARD.map(unknown) },
  {
    title: 'isa-vga, isapc',
    machine: 'isapc',
    devices: '-cpu 486 -device isa-vga',
    steps: STANDARD.map(unknown),
  },
  {
    title: 'cirrus-vga',
    machine: 'q35',
    devices: '-device cirrus-vga',
    steps: [...CIRRUS, ...bars(1, BAR0), ...CIRRUS],
  },
  {
    title: 'cirrus-vga with much memory',
    machine: 'pc',
    devices: '-device cirrus-vga,vgamem_mb=16',
    steps: [...CIRRUS, ...bars(2, BAR0)],
  },
  { title: 'isa-cirrus-vga', machine: 'pc', devices: '-device isa-cirrus-vga', steps: CIRRUS.map(unknown) },
  {
    title: 'VGA and secondary-vga',
    machine: 'q35',
    devices: '-device VGA -device secondary-vga',
    steps: [...STANDARD, ...bars(2, BAR0)],
  },
  {
    title: 'VGA and bochs-display',
    machine: 'pc',
    devices: '-device VGA -device bochs-display',
    steps: [...STANDARD, ...bars(3, BAR0)],
  },
  { title: 'ramfb', machine: 'q35', devices: '-device ramfb', steps: [{ title: 'nothing', writes: [] }] },
];

async function startHalted(
  dir: TemporaryDirectory,
  machine: string,
  devices: string,
  binary = QEMU_BINARY,
): Promise<QemuProcess> {
  const firmware = dir.file('halt.bin');
  await writeFile(firmware, Buffer.alloc(64 * 1024, HALT));
  const bare = ['-nodefaults', '-no-user-config', '-display', 'none', '-accel', 'tcg', '-S', '-m', '64M'];
  const args = [...bare, '-machine', machine, '-bios', firmware, ...devices.split(' ')];
  return QemuProcess.start({ binary, args });
}

/** Writes into every page of every block which block and page it is. */
async function fill(qemu: QemuProcess): Promise<void> {
  const blocks = await new TestGuest(qemu, '', {}, []).ramBlocks();
  await using memory = await open(`/proc/${qemu.pid}/mem`, 'r+');
  for (const { id, usedLength, hva } of blocks.filter(({ id: name }) => /vram$|\.ram$|\/vm$/.test(name))) {
    const bytes = Buffer.alloc(usedLength);
    for (let at = 0; at < usedLength; at += PAGE) bytes.write(`${id} ${at.toString(16)};`, at);
    await memory.write(bytes, 0, usedLength, hva);
  }
}

function inWindow(address: number): boolean {
  return VGA_WINDOW.start <= address && address < VGA_WINDOW.end;
}

/** Compares the map, and the memory in the VGA's window, with what QEMU shows at this moment. */
async function compare(
  t: ExecutionContext,
  qemu: QemuProcess,
  dir: TemporaryDirectory,
  { title, isUnknown = false, shown = 0 }: Step,
): Promise<PhysicalMap> {
  const everything = await mappedByQemu(qemu.qmp);
  const expected = isUnknown ? everything.filter(({ address }) => !inWindow(address)) : everything;
  const [file, theirs] = [dir.file('guest.mr'), dir.file('theirs')];
  await rm(file, { force: true });
  await saveTo(qemu.qmp, `file:${file}`);
  await using snapshot = await Snapshot.open(file);
  const map = await snapshot.physicalMap();
  t.deepEqual(
    map.ranges.map((range) => asMapped(range)),
    expected,
    title,
  );
  const parts = expected.filter(({ address, name }) => inWindow(address) && name.endsWith('vram'));
  t.true(parts.length >= shown, `${title}: QEMU shows no memory, so nothing is compared`);
  for (const { address, length } of parts) {
    await qemu.qmp.execute('pmemsave', { val: address, size: length, filename: theirs });
    t.true((await readFile(theirs)).equals(await snapshot.readPhysical(address, length)), title);
  }
  t.is(
    map.assumptions.some((words) => words.includes('0xa0000')),
    isUnknown,
    title,
  );
  return map;
}

for (const { title, machine, devices, steps } of CARDS) {
  qemuTest(`a snapshot's map is what QEMU has mapped, register by register: ${title}`, async (t) => {
    await using dir = await temporaryDirectory('/dev/shm');
    await using qemu = await startHalted(dir, machine, devices);
    await fill(qemu);
    for (const step of steps) {
      for (const [size, port, value] of step.writes) {
        await qemu.qmp.execute('human-monitor-command', { 'command-line': `o /${size} ${port} ${value}` });
      }
      await compare(t, qemu, dir, step);
      await qemu.qmp.execute('cont');
      await qemu.qmp.execute('stop');
    }
  });
}

function backend(id: string): string {
  return `-object memory-backend-ram,id=${id},size=8M,share=on`;
}

qemuTest("a snapshot's map is what QEMU has mapped: memory devices that say where they are", async (t) => {
  await using dir = await temporaryDirectory();
  const devices = `${backend('s')} -device ivshmem-plain,memdev=s,master=on ${backend('vm')} -device virtio-mem-pci,memdev=vm`;
  await using qemu = await startHalted(dir, 'q35', `-m 64M,maxmem=1G,slots=2 ${devices}`);
  await fill(qemu);
  for (const [size, port, value] of [...pci(1, BAR0 + 8, 0xe800_0000), ...pci(1, COMMAND, 2, 'b')]) {
    await qemu.qmp.execute('human-monitor-command', { 'command-line': `o /${size} ${port} ${value}` });
  }
  const { ranges } = await compare(t, qemu, dir, { title: 'two devices', writes: [] });
  t.deepEqual(
    ranges.filter(({ block }) => /\/(?:s|vm)$/.test(block)).map(({ address }) => address),
    [0xe800_0000, 2 ** 32],
  );
});

qemuTest("a core file has the video memory that QEMU's dump-guest-memory has", async (t) => {
  await using dir = await temporaryDirectory();
  for (const [devices, writes] of [
    [
      '-device VGA',
      [...vbeMode(8), ...vbe(VBE.bank, 3), ...pci(1, BAR0, 0xfe00_0000), ...pci(1, COMMAND, 3, 'b')],
    ],
    ['-device cirrus-vga', [...sequencer(7, 1), ...graphics(9, 5), ...graphics(0xb, 1)]],
    ['-device VGA', [...pci(0, SMRAM_Q35 + 1, 0x4a, 'b'), ...pci(0, SMRAM_Q35 + 2, 1, 'b')]],
  ] as const) {
    await using qemu = await startHalted(dir, 'q35', devices);
    await fill(qemu);
    for (const [size, port, value] of writes) {
      await qemu.qmp.execute('human-monitor-command', { 'command-line': `o /${size} ${port} ${value}` });
    }
    const [file, theirs, ours] = [dir.file('guest.mr'), dir.file('theirs.elf'), dir.file('ours.elf')];
    await qemu.qmp.execute('dump-guest-memory', { paging: false, protocol: `file:${theirs}` });
    await rm(file, { force: true });
    await saveTo(qemu.qmp, `file:${file}`);
    await extract(file, ours, { format: 'elf', overwrite: true });
    await using left = await open(theirs);
    await using right = await open(ours);
    const [expected, found] = [await readCore(left), await readCore(right)];
    t.deepEqual(covered(found.loads), covered(expected.loads));
    for (const { address, length } of found.loads) {
      const bytes = await memoryAt(right, found, address, length);
      t.true(bytes.equals(await memoryAt(left, expected, address, length)), `memory at ${address}`);
    }
  }
});
