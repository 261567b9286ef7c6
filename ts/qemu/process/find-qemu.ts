import { access, constants } from 'node:fs/promises';
import { arch } from 'node:os';
import { delimiter, join } from 'node:path';

import { assertOptions } from '../../io/assert-options.ts';
import { probeBinding } from '../../engine/probe.ts';
import { messageOf } from '../../errors.ts';
import { type QemuFacts, queryFeatures } from '../qemu-facts.ts';
import { QemuProcess } from './qemu-process.ts';
import { querySettings } from '../settings.ts';

const ANSWER_MS = 15_000;
/** The arguments for a machine without any devices: enough to answer questions. */
export const BARE: readonly string[] = [
  '-machine',
  'none',
  '-nodefaults',
  '-no-user-config',
  '-display',
  'none',
];
const TARGETS: Readonly<Record<string, string>> = {
  arm64: 'aarch64',
  loong64: 'loongarch64',
  ppc64: 'ppc64',
  riscv64: 'riscv64',
  s390x: 's390x',
  x64: 'x86_64',
};

const NOTHING = {
  mappedRam: false,
  directIo: false,
  multifd: false,
  xIgnoreShared: false,
  fdsets: false,
} as const;

/** A QEMU's account of itself. */
export interface QemuFinding {
  /** The binary; undefined when there is none. */
  readonly path: string | undefined;
  /** The version, such as `10.0.2`; undefined when QEMU did not answer. */
  readonly version: string | undefined;
  /** True when QEMU has the capability mapped-ram: QEMU 9.0 or later. */
  readonly mappedRam: boolean;
  /** True when QEMU has the parameter direct-io: QEMU 9.1 or later. */
  readonly directIo: boolean;
  /** True when QEMU has the capability multifd. */
  readonly multifd: boolean;
  /** True when QEMU has the capability x-ignore-shared, with which it leaves shared memory to the engine. */
  readonly xIgnoreShared: boolean;
  /** True when QEMU takes descriptors (add-fd), so that it needs no right to a file. */
  readonly fdsets: boolean;
  /** The reason in words, when QEMU cannot be found, does not answer, or does not know mapped-ram. */
  readonly why: string | undefined;
}

export interface FindQemuOptions {
  /** Name or path of the binary. @default `$MAPPED_RAM_QEMU`, or `qemu-system-…` for this machine's architecture */
  readonly binary?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** The result of looking for a QEMU. */
export interface ExaminedQemu {
  readonly finding: QemuFinding;
  /** Facts of this QEMU without a guest; undefined when there is no QEMU, or it does not answer. */
  readonly facts: QemuFacts | undefined;
  /** The architecture of its guests, as in `qemu-system-…`; undefined when there is no QEMU, or it does not answer. */
  readonly target: string | undefined;
}

/** Looks for QEMU and asks it, over QMP, for its features. Throws only the signal's reason. */
export async function findQemu(options: FindQemuOptions = {}): Promise<QemuFinding> {
  assertOptions(options);
  const { finding } = await examineQemu(options);
  return finding;
}

/** Looks for QEMU as {@link findQemu} does, and also returns the facts that a plan needs. */
export async function examineQemu({ binary, signal }: FindQemuOptions = {}): Promise<ExaminedQemu> {
  const name = binary ?? defaultQemu();
  const none = { path: undefined, version: undefined, ...NOTHING };
  const path = await resolveBinary(name);
  if (path === undefined) {
    return { finding: { ...none, why: notFound(name) }, facts: undefined, target: undefined };
  }
  try {
    await using qemu = await QemuProcess.start({ binary: path, args: BARE, timeoutMs: ANSWER_MS, signal });
    const facts = await bareFacts(qemu, signal);
    const { mappedRam, directIo, multifd, xIgnoreShared, fdsets } = facts.features;
    const { major, minor, micro } = facts.version;
    const version = `${major}.${minor}.${micro}`;
    const why = mappedRam ? undefined : `QEMU ${version} is too old: mapped-ram came with 9.0`;
    const finding = { path, version, mappedRam, directIo, multifd, xIgnoreShared, fdsets, why };
    const { arch: target } = await qemu.qmp.execute('query-target', undefined, {
      timeoutMs: ANSWER_MS,
      signal,
    });
    return { finding, facts, target };
  } catch (error) {
    signal?.throwIfAborted();
    return { finding: { ...none, path, why: messageOf(error) }, facts: undefined, target: undefined };
  }
}

/** The facts of a QEMU that has no guest. Memory and run state need no question then. */
async function bareFacts({ qmp }: QemuProcess, signal: AbortSignal | undefined): Promise<QemuFacts> {
  const wait = { timeoutMs: ANSWER_MS, signal };
  const settings = await querySettings(qmp, wait);
  return {
    version: qmp.version,
    features: await queryFeatures(qmp, settings, wait),
    runState: 'running',
    migrationStatus: 'none',
    blockedReasons: [],
    ...settings,
    // What is known of QEMU does not depend on the native code of this package.
    passesDescriptors: probeBinding().available && qmp.passesDescriptors,
    memory: [],
  };
}

/** The name of the binary to use when the caller names none. */
export function defaultQemu(target: string = TARGETS[arch()] ?? arch()): string {
  return process.env['MAPPED_RAM_QEMU'] ?? `qemu-system-${target}`;
}

function notFound(name: string): string {
  return name.includes('/') ? `there is no program ${name}` : `there is no ${name} on the PATH`;
}

async function resolveBinary(name: string): Promise<string | undefined> {
  if (name.includes('/')) return (await isExecutable(name)) ? name : undefined;
  for (const directory of (process.env['PATH'] ?? '').split(delimiter)) {
    const path = join(directory, name);
    if (directory !== '' && (await isExecutable(path))) return path;
  }
  return undefined;
}

async function isExecutable(path: string): Promise<boolean> {
  return access(path, constants.X_OK).then(
    () => true,
    () => false,
  );
}
