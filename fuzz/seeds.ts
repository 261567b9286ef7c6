import { mkdtemp, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { saveTo } from '../__test__/support/plain-migration.ts';
import { QemuProcess } from '../ts/qemu/process/qemu-process.ts';
import { OpenFile } from '../__test__/support/open-reader.ts';
import type { SparseInput } from './sparse-input.ts';
import { reduceStream, type KeepDevice } from './reduce-stream.ts';

interface Machine {
  readonly binary?: string;
  readonly args: string;
  readonly capabilities?: readonly string[];
}

const X86 = 'qemu-system-x86_64';

const MACHINES: readonly Machine[] = [
  { args: '-machine none -m 1' },
  { args: '-machine microvm' },
  { args: '-machine pc -drive if=pflash,format=raw,file=DIR/flash' },
  {
    args:
      '-machine q35 -smp 2 -device virtio-net-pci -device qemu-xhci -device usb-tablet -m 2M,maxmem=64M,slots=1 ' +
      '-object memory-backend-ram,id=more,size=8M -device virtio-mem-pci,id=vm0,memdev=more,requested-size=4M',
  },
  { binary: 'qemu-system-aarch64', args: '-machine virt' },
  {
    args: '-machine microvm -uuid 00112233-4455-6677-8899-aabbccddeeff',
    capabilities: ['validate-uuid', 'dirty-bitmaps'],
  },
  { args: '-machine microvm', capabilities: ['x-ignore-shared'] },
];

/** Makes streams of both forms as QEMU writes them from several machines, reduced to the parts that readers look at. */
export async function qemuSeeds(): Promise<readonly SparseInput[]> {
  const seeds: SparseInput[] = [];
  for (const machine of MACHINES) {
    for (const form of ['mapped-ram', 'plain'] as const) seeds.push(await save(machine, form));
  }
  return seeds;
}

/** Makes a stream with the registers of a CPU, whose description is the longest of all. */
export async function cpuSeed(): Promise<SparseInput> {
  return save({ args: '-machine microvm' }, 'mapped-ram', (name) => name === 'cpu' || name === 'cpu_common');
}

async function save(machine: Machine, form: 'mapped-ram' | 'plain', keep?: KeepDevice): Promise<SparseInput> {
  const { binary = X86, args, capabilities = [] } = machine;
  const directory = await mkdtemp(join(tmpdir(), 'mapped-ram-seeds-'));
  try {
    await writeFile(join(directory, 'flash'), '');
    await truncate(join(directory, 'flash'), 2 ** 20);
    const common = '-nodefaults -no-user-config -display none -S -m 2';
    const path = join(directory, 'saved');
    await using qemu = await QemuProcess.start({
      binary,
      args: `${common} ${args.replaceAll('DIR', directory)}`.split(' '),
    });
    const others = capabilities.filter((capability) => capability !== 'x-ignore-shared');
    await qemu.qmp.execute('migrate-set-capabilities', {
      capabilities: others.map((capability) => ({ capability, state: true })),
    });
    await saveTo(qemu.qmp, `file:${path}`, {
      mappedRam: form === 'mapped-ram',
      xIgnoreShared: capabilities.includes('x-ignore-shared'),
    });
    await qemu.quit();
    await using file = await OpenFile.open(path);
    return await reduceStream(file, keep);
  } finally {
    await rm(directory, { recursive: true });
  }
}
