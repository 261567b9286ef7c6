import type { BenchFiles, Contender, ContenderSet, MakeContenders, SkippedContender } from '../contender.ts';
import type { BenchWork } from '../figures.ts';
import { findBenchQemu, leftOutOfQemu, type UsableQemu } from './bench-qemu.ts';
import { copyIntoMemory, copyToDisk } from './copy.ts';
import { findFio, type FioWays } from './find-fio.ts';
import { fioRead, fioWrite } from './fio.ts';
import { plainRead, plainReadOfBoth } from './plain-read.ts';
import { qemuLoads } from './qemu-load.ts';
import { qemuSaves } from './qemu-save.ts';

export interface OtherContendersOptions {
  /** Name or path of QEMU. @default `$MAPPED_RAM_QEMU`, or `qemu-system-…` for this machine's architecture */
  readonly qemu?: string | undefined;
}

/** Makes the programs that this package is compared with, by kind of work: fio, a plain copy, and QEMU. */
export function otherContenders({ qemu }: OtherContendersOptions = {}): Readonly<
  Record<Exclude<BenchWork, 'restore'>, MakeContenders>
> {
  return {
    save: async (files, _state, signal) =>
      together(
        await withFio(files, signal, ([way]) => [fioWrite(files, way)]),
        always(copyToDisk(files)),
        await withQemu(files, qemu, signal, (found) => qemuSaves(files, found)),
      ),
    load: async (files, state, signal) =>
      together(
        await withFio(files, signal, (ways) => ways.map((way) => fioRead(files, state, way))),
        always(copyIntoMemory(files, state)),
        await withQemu(files, qemu, signal, (found) => qemuLoads(files, state, found)),
      ),
    verify: async (files, state, signal) =>
      together(
        await withFio(files, signal, ([way]) => [fioRead(files, state, way)]),
        always(plainRead(files, state)),
      ),
    diff: async (files, state, signal) =>
      together(
        await withFio(files, signal, ([way]) => [fioRead(files, state, way)]),
        always(plainReadOfBoth(files, state)),
      ),
  };
}

function always(contender: Contender): ContenderSet {
  return { contenders: [contender], skipped: [] };
}

async function withFio(
  { directory }: BenchFiles,
  signal: AbortSignal,
  make: (ways: FioWays) => readonly Contender[],
): Promise<ContenderSet> {
  const found = await findFio(directory, signal);
  return 'why' in found
    ? skipped('fio', found.why)
    : { contenders: make(found.ways), skipped: found.leftOut };
}

async function withQemu(
  { directory }: BenchFiles,
  binary: string | undefined,
  signal: AbortSignal,
  make: (found: UsableQemu) => readonly Contender[],
): Promise<ContenderSet> {
  const found = await findBenchQemu(binary, directory, signal);
  return 'why' in found
    ? skipped('QEMU', found.why)
    : { contenders: make(found), skipped: leftOutOfQemu(found) };
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
