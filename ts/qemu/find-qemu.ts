import { access, constants } from 'node:fs/promises';
import { arch } from 'node:os';
import { delimiter, join } from 'node:path';

import { messageOf } from '../errors.ts';
import { isQmpObject, type QmpValue } from '../qmp/json.ts';
import { QemuProcess } from './qemu-process.ts';

const ANSWER_MS = 15_000;
/** A machine without anything in it: enough to be asked. */
const BARE = ['-machine', 'none', '-nodefaults', '-no-user-config', '-display', 'none'];
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

/** What QEMU says of itself. */
export interface QemuFinding {
  /** The binary; undefined when there is none. */
  readonly path: string | undefined;
  /** `10.0.2`; undefined when it did not answer. */
  readonly version: string | undefined;
  /** It has the capability mapped-ram: QEMU 9.0 or later. */
  readonly mappedRam: boolean;
  /** It has the parameter direct-io: QEMU 9.1 or later. */
  readonly directIo: boolean;
  /** It has the capability multifd. */
  readonly multifd: boolean;
  /** It has the capability x-ignore-shared, with which it leaves shared memory to the engine. */
  readonly xIgnoreShared: boolean;
  /** It takes descriptors (add-fd), so that it needs no right to a file. */
  readonly fdsets: boolean;
  /** In words, when it is not to be had, does not answer, or does not know mapped-ram. */
  readonly reason: string | undefined;
}

export interface FindQemuOptions {
  /** Name or path of the binary. @default `$MAPPED_RAM_QEMU`, or `qemu-system-…` for this machine's architecture */
  readonly binary?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Looks for QEMU and asks it, over QMP, what it can do. Throws only the signal's reason. */
export async function findQemu({ binary, signal }: FindQemuOptions = {}): Promise<QemuFinding> {
  const name = binary ?? defaultQemu();
  const none = { path: undefined, version: undefined, ...NOTHING };
  const path = await resolveBinary(name);
  if (path === undefined) return { ...none, reason: notFound(name) };
  try {
    await using qemu = await QemuProcess.start({ binary: path, args: BARE, timeoutMs: ANSWER_MS, signal });
    const wait = { timeoutMs: ANSWER_MS, signal };
    const capabilities = await qemu.qmp.execute('query-migrate-capabilities', undefined, wait);
    const parameters = await qemu.qmp.execute('query-migrate-parameters', undefined, wait);
    const fdsets = await qemu.qmp.execute('query-fdsets', undefined, wait).then(
      (sets) => Array.isArray(sets),
      () => false,
    );
    const { major, minor, micro } = qemu.qmp.version;
    const version = `${major}.${minor}.${micro}`;
    const mappedRam = hasCapability(capabilities, 'mapped-ram');
    const directIo = isQmpObject(parameters) && 'direct-io' in parameters;
    const reason = mappedRam ? undefined : `QEMU ${version} is too old: mapped-ram came with 9.0`;
    const [multifd, xIgnoreShared] = [
      hasCapability(capabilities, 'multifd'),
      hasCapability(capabilities, 'x-ignore-shared'),
    ];
    return { path, version, mappedRam, directIo, multifd, xIgnoreShared, fdsets, reason };
  } catch (error) {
    signal?.throwIfAborted();
    return { ...none, path, reason: messageOf(error) };
  }
}

/** The QEMU that is meant when nobody says which. */
export function defaultQemu(target: string = TARGETS[arch()] ?? arch()): string {
  return process.env['MAPPED_RAM_QEMU'] ?? `qemu-system-${target}`;
}

function notFound(name: string): string {
  return name.includes('/') ? `there is no program ${name}` : `there is no ${name} on the PATH`;
}

function hasCapability(reply: QmpValue, name: string): boolean {
  return Array.isArray(reply) && reply.some((entry) => isQmpObject(entry) && entry['capability'] === name);
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
