import { join } from 'node:path';

import type { GuestOptions } from '../../ts/guest/build-guest.ts';

export const MIB: number = 1024 * 1024;

/** Arguments of every guest. With `-no-reboot` a triple fault ends QEMU: a guest that boots again would look alive. */
const COMMON = '-no-user-config -no-reboot -display none'.split(' ');
const BARE = '-nodefaults -vga none'.split(' ');

export interface GuestSetup {
  /** @default QEMU_BINARY */
  readonly binary?: string;
  /** True for a machine with the devices that QEMU adds on its own: a display, a network card, drives. @default false */
  readonly defaults?: boolean;
  /** The machine with its properties: `q35`, `pc`, `microvm,acpi=on`. @default 'q35' */
  readonly machine?: string;
  /**
   * The accelerator. TCG runs the guest equally well everywhere. A KVM without hardware virtualization may emulate the
   * guest's 32-bit code a hundred times slower. @default 'tcg'
   */
  readonly accel?: 'kvm' | 'tcg';
  /** @default 128 */
  readonly memoryMiB?: number;
  /** True for two NUMA nodes with half of the memory each, in blocks `m0` and `m1`. @default false */
  readonly numa?: boolean;
  /** The backend of blocks `m0` (and `m1`). Undefined is plain `-m`, whose block is `pc.ram`. */
  readonly backend?: 'ram' | 'file' | 'memfd';
  /** The directory of `m0.ram` and `m1.ram`, which stay there. @default a directory of the guest's own */
  readonly memPathDir?: string;
  /** @default false */
  readonly share?: boolean;
  /** Arguments in place of all memory arguments; `memoryBlocks` names their blocks from physical address 0 on. */
  readonly memoryArgs?: readonly string[];
  readonly memoryBlocks?: readonly string[];
  /** True for a QEMU that waits for a migration instead of booting. @default false */
  readonly incoming?: boolean;
  /** @default 32 MiB at 16 MiB; with `numa` 32 MiB around the border of the blocks */
  readonly region?: GuestOptions;
  readonly extraArgs?: readonly string[];
}

/** The QEMU command line; the guest's disk, serial port and debug console are files in `directory`. */
export function guestArgs(setup: GuestSetup, directory: string): readonly string[] {
  const { machine = 'q35', accel = 'tcg', incoming = false, extraArgs = [] } = setup;
  const device = (name: string): string => `file:${join(directory, name)}`;
  return COMMON.concat(
    setup.defaults === true ? [] : BARE,
    ['-machine', machine, '-accel', accel],
    setup.memoryArgs ?? memoryArgs(setup, directory),
    bootArgs(machine, join(directory, 'boot.img')),
    ['-serial', device('serial'), '-debugcon', device('debugcon')],
    incoming ? ['-incoming', 'defer'] : [],
    extraArgs,
  );
}

function bootArgs(machine: string, disk: string): readonly string[] {
  const drive = `format=raw,file=${optionValue(disk)}`;
  return machine.startsWith('microvm')
    ? ['-drive', `if=none,id=boot,${drive}`, '-device', 'virtio-blk-device,drive=boot']
    : ['-drive', `if=ide,${drive}`];
}

/** A short region makes the guest's generations short, which most tests wait for. With two NUMA nodes it lies in both. */
export function guestRegionOf({ region, numa = false, memoryMiB = 128 }: GuestSetup): GuestOptions {
  return region ?? { start: numa ? (memoryMiB / 2 - 4) * MIB : 16 * MIB, length: 8 * MIB };
}

/** The blocks of the guest's memory, from physical address 0 on. */
export function guestMemoryBlocks({
  memoryBlocks: named,
  numa,
  backend,
  machine = 'q35',
}: GuestSetup): readonly string[] {
  if (named !== undefined) return named;
  if (numa === true) return ['m0', 'm1'];
  if (backend !== undefined) return ['m0'];
  return [machine.startsWith('microvm') ? 'microvm.ram' : 'pc.ram'];
}

function memoryArgs(
  { memoryMiB = 128, numa = false, backend, memPathDir, share = false }: GuestSetup,
  directory: string,
): readonly string[] {
  const size = ['-m', `${memoryMiB}M`];
  if (backend === undefined && !numa) return size;
  const ids = numa ? ['m0', 'm1'] : ['m0'];
  const objects = ids.flatMap((id) => {
    const path =
      backend === 'file' ? `,mem-path=${optionValue(join(memPathDir ?? directory, `${id}.ram`))}` : '';
    const blockSize = `size=${memoryMiB / ids.length}M,share=${share ? 'on' : 'off'}`;
    return ['-object', `memory-backend-${backend ?? 'ram'},id=${id},${blockSize}${path}`];
  });
  const use = numa ? ids.flatMap((id) => ['-numa', `node,memdev=${id}`]) : ['-machine', 'memory-backend=m0'];
  return [...size, ...objects, ...use];
}

/** The text as a value in QEMU's option syntax, in which a comma ends a value unless it is doubled. */
function optionValue(text: string): string {
  return text.replaceAll(',', ',,');
}
