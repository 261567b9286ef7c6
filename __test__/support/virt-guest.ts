import { mkdtemp, open, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import type { GuestOptions } from '../../ts/guest/build-guest.ts';
import { QemuProcess } from '../../ts/qemu/process/qemu-process.ts';
import { restore, type RestoreOptions } from '../../ts/restore/restore.ts';
import { AARCH64_RAM, aarch64Program } from './aarch64-program.ts';
import { TestGuest } from './qemu.ts';
import { QEMU_AARCH64_BINARY, QEMU_RISCV64_BINARY } from './qemu-binary.ts';
import { MIB } from './qemu-setup.ts';
import { riscv64Program } from './riscv64-program.ts';
import { memoryFor, RestoredTestGuest } from './restored-guest.ts';

/** The machine virt of an architecture, with a guest that does what the built-in one of x86 does. */
export interface VirtSetup {
  readonly arch: 'aarch64' | 'riscv64';
  /** Undefined is plain `-m`; else the backend of block `m0`. A file is shared. */
  readonly backend?: 'ram' | 'file' | undefined;
  /** The place that the guest starts from: RAM, an image in `-bios`, or the first of two pflash devices. */
  readonly flash: 'none' | 'bios' | 'pair';
  /** The beginning of the second pflash's image; the rest of it is a hole. @default nothing */
  readonly variables?: Uint8Array | undefined;
  /** True for QEMU's default devices, too. @default false */
  readonly defaults?: boolean | undefined;
  readonly extraArgs?: readonly string[] | undefined;
}

const MACHINES = {
  aarch64: { binary: QEMU_AARCH64_BINARY, cpu: 'cortex-a57', ram: 'mach-virt.ram', flashBytes: 64 * MIB },
  riscv64: { binary: QEMU_RISCV64_BINARY, cpu: 'rv64', ram: 'riscv_virt_board.ram', flashBytes: 32 * MIB },
} as const;
const REGION: GuestOptions = { start: 16 * MIB, length: MIB };
/** Behind the device tree that the machine puts at the start of RAM. */
const LOADED_AT = AARCH64_RAM + 2 * MIB;

/** Starts the guest in a QEMU of its own. */
export async function startVirtGuest(setup: VirtSetup): Promise<TestGuest> {
  return inDirectory(async (directory) => {
    const { binary } = MACHINES[setup.arch];
    const qemu = await QemuProcess.start({ binary, args: await virtArgs(setup, directory) });
    return new TestGuest(qemu, directory, REGION, memoryBlocks(setup));
  });
}

/** Restores the guest into the QEMU that `setup` describes. */
export async function restoreVirtGuest(
  snapshot: string,
  setup: VirtSetup,
  options: Omit<RestoreOptions, 'binary' | 'args'>,
): Promise<RestoredTestGuest> {
  return inDirectory(async (directory) => {
    const { binary } = MACHINES[setup.arch];
    const args = await virtArgs(setup, directory);
    const memory = 'memory' in options ? options.memory : memoryFor(options.mode, args);
    const restored = await restore(snapshot, { ...options, memory, binary, args });
    await restored.memoryComplete;
    return new RestoredTestGuest(restored, directory, { region: REGION }, memoryBlocks(setup));
  });
}

function memoryBlocks({ arch, backend }: VirtSetup): readonly string[] {
  return [backend === undefined ? MACHINES[arch].ram : 'm0'];
}

/** Writes the guest's images into a directory, and returns the command line that uses them. */
export async function virtArgs(setup: VirtSetup, directory: string): Promise<readonly string[]> {
  const { arch, backend, defaults = false, extraArgs = [] } = setup;
  const bare = ['-no-user-config', '-no-reboot', '-display', 'none', '-monitor', 'none', '-accel', 'tcg'];
  const memory =
    backend === undefined
      ? ['-machine', 'virt']
      : ['-machine', 'virt,memory-backend=m0', '-object', objectOf(backend, directory)];
  return [
    ...bare,
    ...(defaults ? [] : ['-nodefaults']),
    '-m',
    '64M',
    '-cpu',
    MACHINES[arch].cpu,
    '-serial',
    `file:${join(directory, 'serial')}`,
    ...memory,
    ...(await firmwareArgs(setup, directory)),
    ...extraArgs,
  ];
}

function objectOf(backend: 'ram' | 'file', directory: string): string {
  const place = backend === 'file' ? `,mem-path=${join(directory, 'm0.ram')},share=on` : '';
  return `memory-backend-${backend},id=m0,size=64M${place}`;
}

async function firmwareArgs(
  { arch, flash, variables = new Uint8Array(0) }: VirtSetup,
  directory: string,
): Promise<readonly string[]> {
  const program = arch === 'aarch64' ? aarch64Program(REGION) : riscv64Program(REGION);
  const file = join(directory, 'program');
  await writeFile(file, program);
  if (flash === 'bios') return ['-bios', file];
  if (flash === 'none') {
    // RISC-V's machine starts at the beginning of RAM, where -bios puts its image.
    return arch === 'riscv64'
      ? ['-bios', file]
      : ['-device', `loader,file=${file},addr=${LOADED_AT},cpu-num=0`];
  }
  const [code, data] = [join(directory, 'code'), join(directory, 'variables')];
  const { flashBytes } = MACHINES[arch];
  await writeImage(code, program, flashBytes);
  await writeImage(data, variables, flashBytes);
  return [
    ...(arch === 'riscv64' ? ['-bios', 'none'] : []),
    '-drive',
    `if=pflash,format=raw,readonly=on,file=${code}`,
    '-drive',
    `if=pflash,format=raw,file=${data}`,
  ];
}

async function writeImage(path: string, bytes: Uint8Array, length: number): Promise<void> {
  await using file = await open(path, 'w');
  await file.write(bytes);
  await file.truncate(length);
}

async function inDirectory<T>(run: (directory: string) => Promise<T>): Promise<T> {
  const directory = await mkdtemp(join(tmpdir(), 'mapped-ram-virt-'));
  try {
    return await run(directory);
  } catch (error) {
    await rm(directory, { recursive: true, force: true });
    throw error;
  }
}
