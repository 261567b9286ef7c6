import { probe } from '../../engine/probe.ts';
import { applyPlan, type PlanSettings } from '../../negotiate/apply-plan.ts';
import { negotiate } from '../../negotiate/negotiate.ts';
import { defaultQemu, examineQemu } from '../../qemu/process/find-qemu.ts';
import { QemuProcess } from '../../qemu/process/qemu-process.ts';
import type { QmpClient } from '../../qmp/client.ts';

const MIB = 2 ** 20;
/** Channels of QEMU that are tried. */
export const QEMU_CHANNELS: readonly number[] = [2, 4, 8];
const BARE = '-nodefaults -no-user-config -no-reboot -vga none -display none'.split(' ');

/** A QEMU that knows mapped-ram, or the reason why there is none. */
export type FoundQemu =
  | {
      readonly binary: string;
      /** The reason why it cannot move memory by several channels with direct I/O here; undefined when it can. */
      readonly whyNotDirect: string | undefined;
    }
  | { readonly why: string };

/**
 * Looks for a QEMU to compare with.
 * @param binary its name or path; undefined: `$MAPPED_RAM_QEMU`, or `qemu-system-x86_64`
 * @param directory the folder of the snapshots
 */
export async function findBenchQemu(
  binary: string | undefined,
  directory: string,
  signal: AbortSignal,
): Promise<FoundQemu> {
  const { finding } = await examineQemu({ binary: binary ?? defaultQemu('x86_64'), signal });
  const { path, version, why } = finding;
  if (path === undefined || version === undefined || why !== undefined) return { why: why ?? 'no answer' };
  if (!finding.directIo || !finding.multifd) {
    const reason = `QEMU ${version} has no direct-io with several channels, which came with 9.1`;
    return { binary: path, whyNotDirect: reason };
  }
  return { binary: path, whyNotDirect: whyNoDirectIo(directory) };
}

/** The reason why files in a directory cannot be read and written directly; undefined when they can. */
export function whyNoDirectIo(directory: string): string | undefined {
  const { directIo } = probe(directory);
  return directIo.available ? undefined : `no direct I/O in ${directory}: ${directIo.why ?? 'not known why'}`;
}

/** The machine that holds a guest's memory, and does nothing else. */
export interface BenchMachine {
  readonly binary: string;
  /** The id of the block that is the memory. */
  readonly block: string;
  /** Bytes of memory: a multiple of 1 MiB. */
  readonly size: number;
  /** The file that is the memory. */
  readonly memory: string;
  readonly signal: AbortSignal;
}

/** Starts a QEMU whose guest does not run: with a memory file that it shares, or, `incoming`, to load into it. */
export function startBenchQemu(
  { binary, block, size, memory, signal }: BenchMachine,
  incoming: boolean,
): Promise<QemuProcess> {
  const mib = `${size / MIB}M`;
  const object = `memory-backend-file,id=${block},size=${mib},share=on,mem-path=${memory.replaceAll(',', ',,')}`;
  const args = BARE.concat(
    ['-machine', `q35,memory-backend=${block}`, '-accel', 'tcg', '-accel', 'kvm'],
    ['-m', mib, '-object', object, '-S'],
    incoming ? ['-incoming', 'defer'] : [],
  );
  return QemuProcess.start({ binary, args, signal });
}

/**
 * Gives QEMU its settings for a migration as fast as it can: mapped-ram, several channels, direct I/O, no limit.
 * Disposal of the result puts the former ones back.
 *
 * @throws {MappedRamError} ERR_MAPPED_RAM_UNSUPPORTED where QEMU or the filesystem cannot, and as `negotiate`
 */
export async function setUpMigration(
  qmp: QmpClient,
  direction: 'save' | 'restore',
  path: string,
  channels: number,
  signal: AbortSignal,
): Promise<PlanSettings> {
  const asked = {
    target: path,
    mappedRam: 'on',
    multifd: 'on',
    channels,
    directIo: 'on',
    fdset: 'off',
  } as const;
  const plan =
    direction === 'save'
      ? await negotiate(qmp, { ...asked, direction, writer: 'qemu', xIgnoreShared: 'off' }, { signal })
      : await negotiate(qmp, { ...asked, direction, reader: 'qemu' }, { signal });
  return applyPlan(qmp, plan, { signal });
}
