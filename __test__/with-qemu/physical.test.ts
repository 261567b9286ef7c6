import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { open, readFile } from 'node:fs/promises';
import { setTimeout } from 'node:timers/promises';

import type { ExecutionContext } from 'ava';

import { Snapshot, type PhysicalOptions } from '../../ts/index.ts';
import { machineFacts } from '../../ts/physical/machine-facts.ts';
import { ramLayout } from '../../ts/physical/ram-layout.ts';
import { asMapped, mappedByQemu, type Mapped } from '../support/flat-view.ts';
import { saveTo } from '../support/plain-migration.ts';
import { QemuProcess } from '../../ts/qemu/process/qemu-process.ts';
import {
  aarch64Test,
  QEMU_AARCH64_BINARY,
  QEMU_BINARY,
  QEMU_VERSION,
  qemuTest,
} from '../support/qemu-required.ts';
import { TestGuest } from '../support/qemu.ts';
import { temporaryDirectory, type TemporaryDirectory } from '../support/temporary.ts';

const MIB = 2 ** 20;
const GIB = 2 ** 30;
const PAGE = 4096;

interface Machine {
  readonly title: string;
  readonly args: readonly string[];
  readonly binary?: string;
  readonly options?: PhysicalOptions;
  readonly assumptions?: number;
}

function words(line: string): readonly string[] {
  return line.split(' ');
}

function nodes(...sizes: readonly (readonly [id: string, size: string])[]): readonly string[] {
  return [
    ...sizes.flatMap(([id, size]) => ['-object', `memory-backend-ram,id=${id},size=${size}`]),
    ...sizes.flatMap(([id]) => ['-numa', `node,memdev=${id}`]),
  ];
}

/** The oldest machine type of a family that this QEMU has. */
function oldest(family: string): string {
  const { stdout } = spawnSync(QEMU_BINARY, ['-machine', 'help'], { encoding: 'utf8' });
  const versions = [...(stdout ?? '').matchAll(new RegExp(`^${family}(\\d+)\\.(\\d+) `, 'gm'))];
  const [first] = versions
    .map(([, major, minor]) => [Number(major), Number(minor)] as const)
    .toSorted(([a, b], [c, d]) => a - c || b - d);
  return `${family}${first?.join('.')}`;
}

/** Machine types before 4.1 give blocks the names of paths. QEMU 11 has none of these types any more. */
const PATHS: readonly Machine[] =
  QEMU_VERSION[0] >= 11
    ? []
    : [
        {
          title: 'a machine type whose blocks have paths',
          args: words(
            '-machine pc-q35-3.1,memory-backend=m0 -m 5G -object memory-backend-memfd,id=m0,size=5G',
          ),
        },
      ];

const MACHINES: readonly Machine[] = [
  // The first machines come in pairs: the last size with all RAM below 4 GiB, and the first size that is split.
  { title: 'q35, 2815 MiB', args: ['-machine', 'q35', '-m', '2815M'] },
  { title: 'q35, 2816 MiB', args: ['-machine', 'q35', '-m', '2816M'] },
  { title: 'i440fx, 3583 MiB', args: ['-machine', 'pc', '-m', '3583M'] },
  { title: 'i440fx, 3584 MiB', args: ['-machine', 'pc', '-m', '3584M'] },
  { title: 'microvm, 3072 MiB', args: ['-machine', 'microvm', '-m', '3072M'] },
  { title: 'microvm, 3073 MiB', args: ['-machine', 'microvm', '-m', '3073M'] },
  { title: 'microvm without a clock', args: words('-machine microvm,rtc=off -m 5G'), assumptions: 1 },
  { title: 'an odd size', args: ['-machine', 'q35', '-m', '100200K'] },
  { title: 'the oldest q35 there is', args: ['-machine', oldest('pc-q35-'), '-m', '5G'] },
  { title: 'the oldest i440fx there is', args: ['-machine', oldest('pc-i440fx-'), '-m', '5G'] },
  { title: 'q35, max-ram-below-4g', args: ['-machine', 'q35,max-ram-below-4g=1300M', '-m', '5G'] },
  { title: 'i440fx, max-ram-below-4g', args: ['-machine', 'pc,max-ram-below-4g=1G', '-m', '5G'] },
  {
    title: 'i440fx, NUMA nodes of different sizes, the small one first',
    args: ['-machine', 'pc', '-m', '5G', ...nodes(['a', '2G'], ['b', '3G'])],
  },
  {
    title: 'q35, NUMA nodes of the same size',
    args: ['-machine', 'q35', '-m', '5G', ...nodes(['a', '2560M'], ['b', '2560M'])],
    assumptions: 1,
  },
  {
    title: 'q35, NUMA nodes of the same size, not in the order of -object: named by the caller',
    args: words(
      '-machine q35 -m 5G -object memory-backend-ram,id=a,size=2560M -object memory-backend-ram,id=b,size=2560M -numa node,memdev=b -numa node,memdev=a',
    ),
    options: { ramBlocks: ['b', 'a'] },
  },
  ...PATHS,
  {
    title: 'RAM of an AMD guest that goes on at 1 TiB',
    args: words('-machine q35 -cpu EPYC,phys-bits=48 -m 5G,maxmem=2T,slots=2'),
  },
  {
    title: 'an object for the RAM, and video memory as long as the RAM',
    args: words(
      '-machine pc,memory-backend=ram0 -m 64M -object memory-backend-ram,id=ram0,size=64M -device vmware-svga,vgamem_mb=64',
    ),
  },
  {
    title: 'firmware in flash, and a copy of its end',
    args: words('-machine pc-q35-8.2 -m 64M -drive if=pflash,format=raw,readonly=on,file=FLASH'),
  },
  {
    title: 'firmware in flash, and a VGA device',
    args: words(
      '-machine q35 -m 64M -device VGA -drive if=pflash,format=raw,readonly=on,file=FLASH -drive if=pflash,format=raw,file=VARS',
    ),
  },
];

/** True when the firmware has opened the first MiB and found the card. */
function isReady(ranges: readonly Mapped[], card: string): boolean {
  const found = (part: string): boolean => ranges.some(({ name }) => name.includes(part));
  return !found('pc.rom') && (found('vram') || card === 'virtio-gpu-pci');
}

const CARDS = [
  'VGA',
  'secondary-vga',
  'virtio-vga',
  'cirrus-vga',
  'bochs-display',
  'virtio-gpu-pci',
  'vmware-svga',
];

for (const card of CARDS) {
  qemuTest(`a snapshot's map is what QEMU has mapped: ${card} after the firmware found it`, async (t) => {
    await using dir = await temporaryDirectory();
    await using qemu = await startPaused(words(`-machine q35 -m 64M -device ${card}`));
    await qemu.qmp.execute('cont');
    for (let tries = 0; !isReady(await mappedByQemu(qemu.qmp), card); tries += 1) {
      if (tries > 600) t.fail('the firmware does not come to its end');
      await setTimeout(50);
    }
    await qemu.qmp.execute('stop');
    const expected = await mappedByQemu(qemu.qmp);
    await saveTo(qemu.qmp, `file:${dir.file('guest.mr')}`);
    await using snapshot = await Snapshot.open(dir.file('guest.mr'));
    const { ranges, assumptions } = await snapshot.physicalMap();
    const found = ranges.map((range) => asMapped(range));
    t.deepEqual(found, expected);
    t.deepEqual(assumptions, []);
  });
}

qemuTest('blocks of which the file does not say where they are are named', async (t) => {
  await using dir = await temporaryDirectory();
  const dimm = '-object memory-backend-ram,id=d,size=64M -device pc-dimm,memdev=d';
  await using qemu = await startPaused(words(`-machine q35 -m 64M,slots=2,maxmem=1G ${dimm}`));
  await saveTo(qemu.qmp, `file:${dir.file('guest.mr')}`);
  await using snapshot = await Snapshot.open(dir.file('guest.mr'));
  const { ranges, assumptions } = await snapshot.physicalMap();
  t.deepEqual(assumptions, ['block d is left out: the file does not say where it is']);
  t.deepEqual(
    [...new Set(ranges.filter(({ kind }) => kind === 'ram').map(({ block }) => block))],
    ['pc.ram'],
  );
});

qemuTest('an object for the RAM is told from longer and equal memory devices', async (t) => {
  await using dir = await temporaryDirectory();
  const args = words(
    `-machine q35,memory-backend=ram0,nvdimm=on -m 64M,slots=4,maxmem=1G -object memory-backend-ram,id=ram0,size=64M
     -object memory-backend-ram,id=d0,size=128M -device pc-dimm,memdev=d0
     -object memory-backend-ram,id=nv0,size=32M -device nvdimm,memdev=nv0`.replaceAll(/\s+/g, ' '),
  );
  await using qemu = await startPaused(args);
  await saveTo(qemu.qmp, `file:${dir.file('guest.mr')}`);
  await using snapshot = await Snapshot.open(dir.file('guest.mr'));
  const { ranges } = await snapshot.physicalMap();
  const ram = ranges.filter(({ kind }) => kind === 'ram').map(({ block }) => block);
  t.deepEqual([...new Set(ram)], ['ram0']);
});

async function withFlash(dir: TemporaryDirectory, args: readonly string[]): Promise<readonly string[]> {
  for (const [name, size] of [
    ['FLASH', 512 * 1024],
    ['VARS', 256 * 1024],
  ] as const) {
    await using handle = await open(dir.file(name), 'w');
    await handle.truncate(size);
  }
  return args.map((arg) => arg.replace(/FLASH|VARS/, (name) => dir.file(name)));
}

async function startPaused(args: readonly string[], binary = QEMU_BINARY): Promise<QemuProcess> {
  const bare = ['-nodefaults', '-no-user-config', '-display', 'none', '-accel', 'tcg', '-S'];
  return QemuProcess.start({ binary, args: [...bare, ...args] });
}

async function compareMaps(t: ExecutionContext, machine: Machine): Promise<void> {
  await using dir = await temporaryDirectory();
  await using qemu = await startPaused(await withFlash(dir, machine.args), machine.binary);
  const expected = await mappedByQemu(qemu.qmp);
  await saveTo(qemu.qmp, `file:${dir.file('guest.mr')}`);
  await using snapshot = await Snapshot.open(dir.file('guest.mr'));
  const { ranges, assumptions } = await snapshot.physicalMap(machine.options);
  t.deepEqual(
    ranges.map((range) => asMapped(range)),
    expected,
  );
  t.is(assumptions.length, machine.assumptions ?? 0, assumptions.join('; '));
  // The rule alone gives the same layout unless the command line changed it.
  if (machine.args.some((arg) => /max-ram|maxmem|memdev|memory-backend/.test(arg))) return;
  const facts = await machineFacts(snapshot);
  const withoutHelp = ramLayout({ ...facts, cmos: undefined, nodes: [] }, {});
  const known = ramLayout(facts, {});
  t.deepEqual(withoutHelp.ranges, known.ranges);
}

for (const machine of MACHINES) {
  qemuTest(`a snapshot's map is what QEMU has mapped: ${machine.title}`, (t) => compareMaps(t, machine));
}

const VIRT: readonly Machine[] = [
  { title: 'virt of ARM', args: ['-machine', 'virt', '-m', '5G'] },
  {
    title: 'virt of ARM, NUMA nodes of different sizes, the small one first',
    args: ['-machine', 'virt', '-m', '384M', ...nodes(['a', '128M'], ['b', '256M'])],
  },
];

for (const { args, ...machine } of VIRT) {
  aarch64Test(`a snapshot's map is what QEMU has mapped: ${machine.title}`, (t) =>
    compareMaps(t, { ...machine, binary: QEMU_AARCH64_BINARY, args: [...args, '-cpu', 'cortex-a57'] }),
  );
}

interface Filled extends Machine {
  /** Addresses at which memory is compared, beside the ends of every range. */
  readonly places: readonly number[];
}

const LENGTH = 64 * 1024;
/** A distance from the end of the RAM below 4 GiB, whose last few hundred KiB the firmware clears. */
const CLEARED = 4 * MIB;

/** Writes into some pages of every block of RAM which block and page they are. The other pages stay untouched. */
async function fill(qemu: QemuProcess): Promise<void> {
  const blocks = await new TestGuest(qemu, '', {}, []).ramBlocks();
  await using memory = await open(`/proc/${qemu.pid}/mem`, 'r+');
  for (const { id, usedLength, hva } of blocks.filter((block) =>
    /^(?:m\d|pc\.ram|mach-virt\.ram)$/.test(block.id),
  )) {
    assert(hva !== undefined);
    for (let at = 0; at < usedLength; at += 256 * MIB) {
      for (const page of [at, at + 5 * PAGE, at + 256 * MIB - CLEARED, at + 256 * MIB - PAGE]) {
        await memory.write(Buffer.alloc(PAGE, `${id} ${page.toString(16)};`), 0, PAGE, hva + page);
      }
    }
  }
}

const FILLED: readonly Filled[] = [
  {
    title: 'q35, 5 GiB in one block',
    args: words('-machine q35 -m 5G'),
    places: [0x9f000, 0xc0000, 0xf0000, 2 * GIB - CLEARED, 4 * GIB, 7 * GIB - LENGTH],
  },
  {
    title: 'i440fx, 5 GiB in two NUMA blocks',
    args: ['-machine', 'pc', '-m', '5G', ...nodes(['m0', '2G'], ['m1', '3G'])],
    places: [0xe0000, 2 * GIB - LENGTH / 2, 3 * GIB - CLEARED, 4 * GIB, 6 * GIB - LENGTH],
  },
  {
    title: 'q35, 5 GiB in two NUMA blocks, the second above the hole',
    args: ['-machine', 'q35', '-m', '5G', ...nodes(['m0', '2G'], ['m1', '3G'])],
    places: [2 * GIB - CLEARED, 4 * GIB, 7 * GIB - LENGTH],
  },
  {
    title: 'i440fx, 4 GiB with a hole from 1 GiB on, and a VGA device',
    args: words('-machine pc,max-ram-below-4g=1G -m 4G -device VGA'),
    places: [GIB - CLEARED, 4 * GIB, 7 * GIB - LENGTH],
  },
];

async function compareMemory(t: ExecutionContext, machine: Filled): Promise<void> {
  await using dir = await temporaryDirectory();
  await using qemu = await startPaused(machine.args, machine.binary);
  await fill(qemu);
  await qemu.qmp.execute('cont');
  // The firmware needs time: it writes to its memory, and opens the first MiB.
  await setTimeout(1500);
  await qemu.qmp.execute('stop');
  const theirs = dir.file('theirs');
  await saveTo(qemu.qmp, `file:${dir.file('guest.mr')}`);
  await using snapshot = await Snapshot.open(dir.file('guest.mr'));
  const { ranges } = await snapshot.physicalMap();
  const ends = ranges.flatMap(({ address, length }) => [
    address,
    Math.max(address, address + length - LENGTH),
  ]);
  for (const place of new Set([...machine.places, ...ends])) {
    const parts = ranges.filter(
      ({ address, length }) => address < place + LENGTH && place < address + length,
    );
    const end = Math.min(place + LENGTH, Math.max(...parts.map(({ address, length }) => address + length)));
    await qemu.qmp.execute('pmemsave', { val: place, size: end - place, filename: theirs });
    const bytes = await snapshot.readPhysical(place, end - place);
    t.is(Buffer.compare(bytes, await readFile(theirs)), 0, `memory at ${place}`);
    if (machine.places.includes(place) && place >= MIB) {
      t.true(
        bytes.some((byte) => byte !== 0),
        `nothing is at ${place}, so nothing is compared`,
      );
    }
  }
  const ram = ranges.filter(({ kind }) => kind === 'ram' && machine.binary === undefined);
  const low = ram.findLast(({ address }) => address < 4 * GIB);
  if (low === undefined) return;
  const hole = low.address + low.length;
  t.true(hole < 4 * GIB && ram.some(({ address }) => address === 4 * GIB));
  await t.throwsAsync(snapshot.readPhysical(hole, 1), { code: 'ERR_MAPPED_RAM_OUT_OF_RANGE' });
  await t.throwsAsync(snapshot.readPhysical(hole - 1, 2), { code: 'ERR_MAPPED_RAM_OUT_OF_RANGE' });
}

for (const machine of FILLED) {
  qemuTest(`guest-physical memory is what QEMU's pmemsave saves: ${machine.title}`, (t) =>
    compareMemory(t, machine),
  );
}

aarch64Test("guest-physical memory is what QEMU's pmemsave saves: virt of ARM", (t) =>
  compareMemory(t, {
    title: 'virt',
    binary: QEMU_AARCH64_BINARY,
    args: ['-machine', 'virt', '-cpu', 'cortex-a57', '-m', '3G', ...nodes(['m0', '1G'], ['m1', '2G'])],
    places: [GIB, 2 * GIB - LENGTH / 2, 4 * GIB - LENGTH],
  }),
);
