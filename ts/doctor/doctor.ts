import { access, constants } from 'node:fs/promises';
import { arch, release, type } from 'node:os';
import { join, resolve } from 'node:path';

import {
  probe,
  probeFaults,
  type Availability,
  type DirectIoProbe,
  type IoUringProbe,
} from '../engine/probe.ts';
import { modeOn, type RestoreMode } from '../restore/modes/modes.ts';
import { assertDirectory, filesystemOf, type Filesystem } from '../host/filesystem.ts';
import { hostFacts } from '../negotiate/host-facts.ts';
import { makeSavePlan } from '../negotiate/make-save-plan.ts';
import { planTarget } from '../negotiate/plan-target.ts';
import { examineQemu, type QemuFinding } from '../qemu/find-qemu.ts';
import type { QemuFacts } from '../qemu/qemu-facts.ts';
import { hugePages, memlockLimit, type HugePages } from '../host/limits.ts';

const SHARED_MEMORY = '/dev/shm';
const KVM = '/dev/kvm';

export interface DoctorOptions {
  /** Directory for snapshots: existing and writable. @default the current one */
  readonly directory?: string | undefined;
  /** Name or path of the QEMU to ask. @default `$MAPPED_RAM_QEMU`, or `qemu-system-…` for this architecture */
  readonly qemu?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** The choice of `auto`, with its reason. */
export interface Choice<T> {
  readonly value: T;
  readonly why: string;
}

/** The abilities of this host that matter to snapshots. */
export interface DoctorReport {
  readonly system: string;
  readonly kernel: string;
  readonly architecture: string;
  readonly node: string;
  readonly ioUring: IoUringProbe;
  /** The directory, absolute. */
  readonly directory: string;
  readonly filesystem: Filesystem | undefined;
  readonly directIo: DirectIoProbe;
  /** Bytes that may be locked without privileges; undefined where the limit is not known. */
  readonly memlockBytes: number | 'unlimited' | undefined;
  /** /dev/shm, the usual place of shared guest memory; undefined when there is none. */
  readonly sharedMemory: Filesystem | undefined;
  readonly hugePages: readonly HugePages[];
  readonly kvm: Availability;
  /** The ability that QEMU's own lazy restore (in development for 11.2) needs; this package does not use it. */
  readonly userfaultfd: Availability;
  readonly qemu: QemuFinding;
  /** The choices of `auto` in that directory. `planSave` has the choices for a guest's save. */
  readonly auto: {
    readonly ioEngine: Choice<'io_uring' | 'threads'>;
    readonly directIo: Choice<boolean>;
    /** The form that a QEMU is told to write when it writes a save itself; undefined without QEMU. */
    readonly format: Choice<'mapped-ram' | 'stream'> | undefined;
    readonly multifd: Choice<boolean> | undefined;
    /** The mode of `restore`. */
    readonly mode: Choice<RestoreMode>;
  };
}

/**
 * Finds out what this host, a directory and QEMU offer. Changes nothing: it makes a ring, a file and a QEMU without a
 * machine, and lets them go. A missing QEMU is a finding, not an error.
 *
 * @throws {MappedRamError} ERR_MAPPED_RAM_IO when there is no such directory; the signal's reason
 */
export async function doctor(options: DoctorOptions = {}): Promise<DoctorReport> {
  const directory = resolve(options.directory ?? '.');
  await assertDirectory(directory);
  const { finding, facts } = await examineQemu({ binary: options.qemu, signal: options.signal });
  const { ioUring, directIo, ioEngine, usesDirectIo } = probe(directory);
  return {
    system: type(),
    kernel: release(),
    architecture: arch(),
    node: process.versions.node,
    ioUring,
    directory,
    filesystem: await filesystemOf(directory),
    directIo,
    memlockBytes: await memlockLimit(),
    sharedMemory: await filesystemOf(SHARED_MEMORY),
    hugePages: await hugePages(),
    kvm: await kvmAvailability(),
    userfaultfd: probeFaults(),
    qemu: finding,
    auto: {
      ioEngine: {
        value: ioEngine,
        why: reasonOf(ioUring, 'the kernel offers it, with the operations needed'),
      },
      directIo: { value: usesDirectIo, why: reasonOf(directIo, 'the directory accepts O_DIRECT') },
      ...(await choicesOf(facts, directory)),
      mode: modeHere(),
    },
  };
}

function reasonOf({ available, why }: IoUringProbe | DirectIoProbe, whenAvailable: string): string {
  return available ? whenAvailable : (why ?? 'it is not available');
}

/** Asks the rules about a save that QEMU writes into a directory. */
async function choicesOf(
  qemu: QemuFacts | undefined,
  directory: string,
): Promise<Pick<DoctorReport['auto'], 'format' | 'multifd'>> {
  if (qemu === undefined) return { format: undefined, multifd: undefined };
  const path = join(directory, 'snapshot.mr');
  const address = { transport: 'file', filename: path, offset: 0 } as const;
  const request = { direction: 'save', target: address, writer: 'qemu' } as const;
  const host = { ...(await hostFacts(path, 'save')), kind: 'nothing' } as const;
  const target = planTarget(address);
  const start = { request, target, qemu, host, givenFds: undefined, diskUsers: [], snapshot: undefined };
  const { format, mappedRam, multifd } = makeSavePlan(start, request);
  return {
    format: { value: format, why: mappedRam.why },
    multifd: { value: multifd.value, why: multifd.why },
  };
}

function modeHere(): Choice<RestoreMode> {
  const { mode, why } = modeOn(process.platform);
  return { value: mode.name, why: why };
}

async function kvmAvailability(): Promise<Availability> {
  const mode = constants.R_OK | constants.W_OK;
  return access(KVM, mode).then(
    () => ({ available: true, why: undefined }),
    (error: NodeJS.ErrnoException) => ({
      available: false,
      why: error.code === 'ENOENT' ? `there is no ${KVM}` : `${KVM} may not be opened (${error.code})`,
    }),
  );
}
