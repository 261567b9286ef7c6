import { access, constants } from 'node:fs/promises';
import { arch, release, type } from 'node:os';
import { join, resolve } from 'node:path';

import { MappedRamError } from '../errors.ts';
import { assertOptions } from '../io/assert-options.ts';
import {
  probe,
  probeBinding,
  probeFaults,
  type Availability,
  type DirectIoProbe,
  type IoUringProbe,
  type Probe,
} from '../engine/probe.ts';
import { MODES, modeOn, type RestoreMode } from '../restore/modes/modes.ts';
import { assertDirectory, filesystemOf, type Filesystem } from '../host/filesystem.ts';
import { hostFacts } from '../negotiate/host-facts.ts';
import { makeSavePlan } from '../negotiate/make-save-plan.ts';
import { planTarget } from '../negotiate/plan-target.ts';
import { examineQemu, type QemuFinding } from '../qemu/process/find-qemu.ts';
import type { QemuFacts } from '../qemu/qemu-facts.ts';
import { hugePages, memlockLimit, type HugePages } from '../host/limits.ts';

const SHARED_MEMORY = '/dev/shm';
const KVM = '/dev/kvm';

const NO_BINDING: Availability = { available: false, why: 'the native binding cannot be loaded' };
/** The answers of a probe that cannot be made. */
const NOTHING: Probe & { readonly faults: Availability } = {
  ioUring: NO_BINDING,
  directIo: NO_BINDING,
  ioEngine: 'threads',
  usesDirectIo: false,
  faults: NO_BINDING,
};

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

/** The answer to whether a mode of `restore` is possible. */
export interface ModeFinding {
  readonly mode: RestoreMode;
  readonly available: boolean;
  readonly why: string;
}

/** The abilities of this host that matter to snapshots. */
export interface DoctorReport {
  readonly system: string;
  readonly kernel: string;
  readonly architecture: string;
  readonly node: string;
  /** This package's native code, without which nothing moves or saves memory. */
  readonly nativeBinding: Availability;
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
  /** The ability that a QEMU of the same rights needs for a restore whose memory follows the guest. */
  readonly userfaultfd: Availability;
  readonly qemu: QemuFinding;
  /** The modes of `restore`, with the reason why each is possible here, and with that QEMU, or is not. */
  readonly modes: readonly ModeFinding[];
  /** The choices of `auto` in that directory. `planSave` has the choices for a guest's save. */
  readonly auto: {
    readonly ioEngine: Choice<'io_uring' | 'threads'>;
    readonly directIo: Choice<boolean>;
    /**
     * The form that a QEMU is told to write when it writes a save itself; undefined without QEMU, and where it cannot
     * write files.
     */
    readonly format: Choice<'mapped-ram' | 'stream'> | undefined;
    readonly multifd: Choice<boolean> | undefined;
    /** The mode of `restore`. */
    readonly mode: Choice<RestoreMode>;
  };
}

/**
 * Finds out what this host, a directory and QEMU offer. Changes nothing: it makes a ring, a file and a QEMU without a
 * machine, and lets them go. A missing QEMU is a finding, not an error; so is native code that cannot be loaded.
 *
 * @throws {MappedRamError} ERR_MAPPED_RAM_IO when there is no such directory; the signal's reason
 */
export async function doctor(options: DoctorOptions = {}): Promise<DoctorReport> {
  assertOptions(options);
  const directory = resolve(options.directory ?? '.');
  await assertDirectory(directory);
  const { finding, facts } = await examineQemu({ binary: options.qemu, signal: options.signal });
  const nativeBinding = probeBinding();
  const { ioUring, directIo, ioEngine, usesDirectIo, faults } = nativeBinding.available
    ? { ...probe(directory), faults: probeFaults() }
    : NOTHING;
  // Every mode needs both.
  const missing = nativeBinding.available ? (facts === undefined ? finding.why : undefined) : NO_BINDING.why;
  return {
    system: type(),
    kernel: release(),
    architecture: arch(),
    node: process.versions.node,
    nativeBinding,
    ioUring,
    directory,
    filesystem: await filesystemOf(directory),
    directIo,
    memlockBytes: await memlockLimit(),
    sharedMemory: await filesystemOf(SHARED_MEMORY),
    hugePages: await hugePages(),
    kvm: await kvmAvailability(),
    userfaultfd: faults,
    qemu: finding,
    modes: MODES.map((mode) => {
      const { possible, why } = mode.isPossibleOn(process.platform, facts?.features);
      return { mode: mode.name, available: possible && missing === undefined, why: missing ?? why };
    }),
    auto: {
      ioEngine: {
        value: ioEngine,
        why: reasonOf(ioUring, 'the kernel offers it, with the operations needed'),
      },
      directIo: { value: usesDirectIo, why: reasonOf(directIo, 'the directory accepts O_DIRECT') },
      ...(await choicesOf(nativeBinding.available ? facts : undefined, directory)),
      mode: modeHere(facts),
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
  const plan = planOrNothing(() => makeSavePlan(start, request));
  if (plan === undefined) return { format: undefined, multifd: undefined };
  const { format, mappedRam, multifd } = plan;
  return {
    format: { value: format, why: mappedRam.why },
    multifd: { value: multifd.value, why: multifd.why },
  };
}

/** Returns a plan; undefined when the rules refuse the request: this QEMU cannot save to a file on this platform. */
function planOrNothing<T>(make: () => T): T | undefined {
  try {
    return make();
  } catch (error) {
    if (error instanceof MappedRamError && error.rule !== undefined) return undefined;
    throw error;
  }
}

function modeHere(qemu: QemuFacts | undefined): Choice<RestoreMode> {
  const { mode, why } = modeOn(process.platform, qemu?.features);
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
