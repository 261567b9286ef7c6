import { convert } from '../convert/convert.ts';
import { MappedRamError } from '../errors.ts';
import type { WaitOptions } from '../host/wait-within.ts';
import { procPath } from '../io/anonymous-file.ts';
import { save } from '../save/save.ts';
import type { SaveResult } from '../save/save-options.ts';
import { Snapshot } from '../snapshot/snapshot.ts';
import type { CheckedForkOptions } from './fork-options.ts';
import type { ForkSource } from './fork-source.ts';
import { MemoryDirectory } from './memory-directory.ts';

/** The guest as it was in its pause: a snapshot in memory, without a name. Disposal gives its memory back. */
export interface Captured extends AsyncDisposable {
  readonly snapshot: Snapshot;
  readonly saved: SaveResult;
  /** Bytes of memory that the snapshot takes. */
  readonly bytes: number;
}

type CaptureOptions = Pick<CheckedForkOptions, 'directory' | 'guard'> & WaitOptions;

/**
 * Takes the guest in one pause, and lets it go on.
 * @throws {MappedRamError} as `save`
 */
export async function capture(source: ForkSource, options: CaptureOptions): Promise<Captured> {
  await using directory = await MemoryDirectory.create(options.directory);
  const { guard, timeoutMs, signal } = options;
  const path = directory.file('memory');
  const { mapped, slot, qmp } = source;
  const isWhole = slot !== undefined;
  const how = isWhole ? { base: 'none' } : ({ base: mapped.path, form: 'delta' } as const);
  const target = { transport: 'file', filename: path, offset: 0 } as const;
  const saved = await save(qmp, target, { ...how, guard, timeoutMs, signal });
  const snapshot = await (isWhole
    ? filled(source, slot.fd, path, signal)
    : Snapshot.open({ path, base: { path: mapped.path } }));
  const [own] = snapshot.sources;
  const bytes = own?.allocated ?? 0;
  return { snapshot, saved, bytes, [Symbol.asyncDispose]: () => snapshot.close() };
}

/** Fills the file that QEMUs map already. */
async function filled(
  { mapped }: ForkSource,
  fd: number,
  path: string,
  signal: AbortSignal | undefined,
): Promise<Snapshot> {
  await convert({ path }, { fd }, { signal });
  const snapshot = await Snapshot.open({ path: procPath(fd) });
  const isSame = mapped.completeRam().blocks.every(({ id, area }) => {
    const found = snapshot.completeRam().blocks.find((block) => block.id === id);
    return found?.area.pagesOffset === area.pagesOffset;
  });
  if (isSame) return snapshot;
  await snapshot.close();
  throw new MappedRamError(
    'ERR_MAPPED_RAM_INTERNAL',
    'the memory of the fork lies elsewhere than where its QEMUs look for it',
  );
}
