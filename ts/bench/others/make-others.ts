import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

import { probe } from '../../engine/probe.ts';
import { systemCode } from '../../errors.ts';
import type { BenchFiles, Contender, ContenderSet, MakeContenders, SkippedContender } from '../contender.ts';
import type { BenchWork } from '../figures.ts';
import { findBenchQemu, whyNoDirectIo } from './bench-qemu.ts';
import { copyIntoMemory, copyToDisk } from './copy.ts';
import { fioRead, fioWrite } from './fio.ts';
import { qemuLoads } from './qemu-load.ts';
import { qemuSaves } from './qemu-save.ts';

const run = promisify(execFile);

export interface OtherContendersOptions {
  /** Name or path of QEMU. @default `$MAPPED_RAM_QEMU`, or `qemu-system-x86_64` */
  readonly qemu?: string | undefined;
}

const reads: MakeContenders = async (files, state, signal) =>
  withFio(files, signal, () => [fioRead(files, state, true)]);

/** Makes the programs that this package is compared with, by kind of work: fio, a plain copy, and QEMU. */
export function otherContenders({ qemu }: OtherContendersOptions = {}): Readonly<
  Record<Exclude<BenchWork, 'restore'>, MakeContenders>
> {
  return {
    save: async (files, _state, signal) =>
      together(
        await withFio(files, signal, () => [fioWrite(files)]),
        { contenders: [copyToDisk(files)], skipped: [] },
        await withQemu(files, qemu, signal, (binary) => qemuSaves(files, binary)),
      ),
    load: async (files, state, signal) =>
      together(
        await withFio(files, signal, () => [fioRead(files, state, true), fioRead(files, state, false)]),
        { contenders: [copyIntoMemory(files, state)], skipped: [] },
        await withQemu(files, qemu, signal, (binary) => qemuLoads(files, state, binary)),
      ),
    verify: reads,
    diff: reads,
  };
}

/** The version of fio, such as `fio-3.33`; undefined when it is not installed. @throws the signal's reason */
export async function fioVersion(signal: AbortSignal): Promise<string | undefined> {
  try {
    return (await run('fio', ['--version'], { signal })).stdout.trim();
  } catch (error) {
    signal.throwIfAborted();
    if (systemCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}

async function withFio(
  { directory }: BenchFiles,
  signal: AbortSignal,
  make: () => readonly Contender[],
): Promise<ContenderSet> {
  const why = await whyNoFio(directory, signal);
  return why === undefined ? { contenders: make(), skipped: [] } : skipped('fio', why);
}

/** The reason why fio takes no part; undefined when it does. */
export async function whyNoFio(directory: string, signal: AbortSignal): Promise<string | undefined> {
  if ((await fioVersion(signal)) === undefined) return 'fio is not installed';
  const { ioUring } = probe(directory);
  if (!ioUring.available) return `no io_uring: ${ioUring.why ?? 'not known why'}`;
  return whyNoDirectIo(directory);
}

async function withQemu(
  { directory }: BenchFiles,
  binary: string | undefined,
  signal: AbortSignal,
  make: (binary: string) => readonly Contender[],
): Promise<ContenderSet> {
  const found = await findBenchQemu(binary, directory, signal);
  if ('why' in found) return skipped('QEMU', found.why);
  if (found.whyNotDirect !== undefined) return skipped('QEMU', found.whyNotDirect);
  return { contenders: make(found.binary), skipped: [] };
}

function skipped(name: string, reason: string): ContenderSet {
  const one: SkippedContender = { name, reason };
  return { contenders: [], skipped: [one] };
}

function together(...sets: readonly ContenderSet[]): ContenderSet {
  return {
    contenders: sets.flatMap(({ contenders }) => contenders),
    skipped: sets.flatMap((set) => set.skipped),
  };
}
