import { probe } from '../../engine/probe.ts';
import { applyPlan, type PlanSettings } from '../../negotiate/apply-plan.ts';
import { negotiate } from '../../negotiate/negotiate.ts';
import { examineQemu } from '../../qemu/process/find-qemu.ts';
import { QemuProcess } from '../../qemu/process/qemu-process.ts';
import type { QmpClient } from '../../qmp/client.ts';
import type { Contender, SkippedContender } from '../contender.ts';

const MIB = 2 ** 20;
/** Channels of QEMU that are tried. */
export const QEMU_CHANNELS: readonly number[] = [2, 4, 8];
const BARE = '-nodefaults -no-user-config -no-reboot -vga none -display none'.split(' ');

/** The machines that hold a guest's memory, by the architecture of the guest. */
const MACHINES: Readonly<Record<string, string>> = {
  aarch64: 'virt',
  i386: 'q35',
  loongarch64: 'virt',
  ppc64: 'pseries',
  riscv64: 'virt',
  s390x: 's390-ccw-virtio',
  x86_64: 'q35',
};
/** Options of a machine whose usual processor KVM does not take. */
const CPUS: Readonly<Record<string, readonly string[]>> = { aarch64: ['-cpu', 'max'] };

/** A QEMU that takes part. */
export interface UsableQemu {
  readonly binary: string;
  /** The architecture of its guests, as in `qemu-system-…`. */
  readonly target: string;
  /** The reason why it cannot move memory with direct I/O here; undefined when it can. */
  readonly whyNotDirect: string | undefined;
}

/** A QEMU that knows mapped-ram, or the reason why there is none. */
export type FoundQemu = UsableQemu | { readonly why: string };

/**
 * Looks for a QEMU to compare with.
 * @param binary its name or path; undefined: `$MAPPED_RAM_QEMU`, or `qemu-system-…` for this machine's architecture
 * @param directory the folder of the snapshots
 */
export async function findBenchQemu(
  binary: string | undefined,
  directory: string,
  signal: AbortSignal,
): Promise<FoundQemu> {
  const { finding, target } = await examineQemu({ binary, signal });
  const { path, version, why } = finding;
  if (path === undefined || target === undefined || why !== undefined) return { why: why ?? 'no answer' };
  if (!Object.hasOwn(MACHINES, target)) return { why: `no machine of ${target} is known to hold memory` };
  const whyNotDirect = finding.directIo
    ? whyNoDirectIo(directory)
    : `QEMU ${version} has no direct-io, which came with 9.1`;
  return { binary: path, target, whyNotDirect };
}

/** The reason why files in a directory cannot be read and written directly; undefined when they can. */
export function whyNoDirectIo(directory: string): string | undefined {
  const { directIo } = probe(directory);
  return directIo.available ? undefined : `no direct I/O in ${directory}: ${directIo.why ?? 'not known why'}`;
}

/** The name of a QEMU in tables, with what its settings are. */
export function qemuIdentity(
  { whyNotDirect }: UsableQemu,
  channels: number,
): Pick<Contender, 'name' | 'program' | 'settings'> {
  const directIo = whyNotDirect === undefined;
  const name = `QEMU × ${channels}${directIo ? '' : ', buffered'}`;
  return { name, program: 'qemu', settings: { multifd: true, channels, directIo } };
}

/** What this QEMU would do elsewhere, and why not here. */
export function leftOutOfQemu({ whyNotDirect }: UsableQemu): readonly SkippedContender[] {
  return whyNotDirect === undefined ? [] : [{ name: 'QEMU with direct I/O', reason: whyNotDirect }];
}

/** The machine that holds a guest's memory, and does nothing else. */
export interface BenchMachine extends Pick<UsableQemu, 'binary' | 'target'> {
  /** The id of the block that is the memory. */
  readonly block: string;
  /** Bytes of memory: a multiple of 1 MiB. */
  readonly size: number;
  /** The file that is the memory. */
  readonly memory: string;
  readonly signal: AbortSignal;
}

/** The way that QEMU's pages go. */
export interface QemuWay {
  readonly channels: number;
  readonly isDirect: boolean;
}

/** Starts a QEMU whose guest does not run: with a memory file that it shares, or, `incoming`, to load into it. */
export function startBenchQemu(
  { binary, target, block, size, memory, signal }: BenchMachine,
  incoming: boolean,
): Promise<QemuProcess> {
  const mib = `${size / MIB}M`;
  const object = `memory-backend-file,id=${block},size=${mib},share=on,mem-path=${memory.replaceAll(',', ',,')}`;
  const args = BARE.concat(
    ['-machine', `${MACHINES[target]},memory-backend=${block}`, '-accel', 'tcg', '-accel', 'kvm'],
    CPUS[target] ?? [],
    ['-m', mib, '-object', object, '-S'],
    incoming ? ['-incoming', 'defer'] : [],
  );
  return QemuProcess.start({ binary, args, signal });
}

/**
 * Gives QEMU its settings for a migration as fast as it can: mapped-ram, several channels, direct I/O where it can, no limit.
 * Disposal of the result puts the former ones back.
 *
 * @throws {MappedRamError} ERR_MAPPED_RAM_UNSUPPORTED where QEMU or the filesystem cannot, and as `negotiate`
 */
export async function setUpMigration(
  qmp: QmpClient,
  direction: 'save' | 'restore',
  path: string,
  { channels, isDirect }: QemuWay,
  signal: AbortSignal,
): Promise<PlanSettings> {
  const asked = {
    target: path,
    mappedRam: 'on',
    multifd: 'on',
    channels,
    directIo: isDirect ? 'on' : 'off',
    fdset: 'off',
  } as const;
  const plan =
    direction === 'save'
      ? await negotiate(qmp, { ...asked, direction, writer: 'qemu', xIgnoreShared: 'off' }, { signal })
      : await negotiate(qmp, { ...asked, direction, reader: 'qemu' }, { signal });
  return applyPlan(qmp, plan, { signal });
}
