import { createMemoryFile } from '../engine/memory-file.ts';
import { MappedRamError } from '../errors.ts';
import type { WaitOptions } from '../host/wait-within.ts';
import { AnonymousFile } from '../io/anonymous-file.ts';
import { saveInto } from '../save/save.ts';
import type { SaveResult } from '../save/save-options.ts';
import { Snapshot } from '../snapshot/snapshot.ts';
import type { ForkOptions } from './fork-options.ts';
import type { ForkSource } from './fork-source.ts';

/** The guest as it was in its pause: a snapshot in memory, without a name. Disposal gives this process's hold of it up. */
export interface Captured extends AsyncDisposable {
  readonly snapshot: Snapshot;
  readonly saved: SaveResult;
  /** Bytes of memory that the snapshot takes. */
  readonly bytes: number;
}

type CaptureOptions = Pick<ForkOptions, 'guard'> & WaitOptions;

/**
 * Takes the guest in one pause, and lets it go on.
 * @throws {MappedRamError} as `saveInto`
 */
export async function capture(source: ForkSource, options: CaptureOptions): Promise<Captured> {
  const { qmp, mapped, slot } = source;
  if (slot !== undefined) {
    // The QEMUs that wait have this file mapped.
    const saved = await saveInto(qmp, slot.fd, { ...options, base: 'none' });
    const snapshot = await Snapshot.open({ path: slot.procPath });
    return whole(snapshot, mapped, saved);
  }
  await using file = new AnonymousFile(await createMemoryFile('mapped-ram-fork-delta'), 'memory');
  const saved = await saveInto(qmp, file.fd, { ...options, base: mapped.path, form: 'delta' });
  return captured(await Snapshot.open({ path: file.procPath, base: { path: mapped.path } }), saved);
}

async function whole(snapshot: Snapshot, mapped: Snapshot, saved: SaveResult): Promise<Captured> {
  const { blocks } = snapshot.completeRam(true);
  const isSame = mapped
    .completeRam()
    .blocks.every(({ id, area }) =>
      blocks.some((block) => block.id === id && block.area.pagesOffset === area.pagesOffset),
    );
  if (isSame) return captured(snapshot, saved);
  await snapshot.close();
  throw new MappedRamError(
    'ERR_MAPPED_RAM_INTERNAL',
    'the memory of the fork lies elsewhere than where its QEMUs look for it',
  );
}

function captured(snapshot: Snapshot, saved: SaveResult): Captured {
  const bytes = snapshot.sources[0]?.allocated ?? 0;
  return { snapshot, saved, bytes, [Symbol.asyncDispose]: () => snapshot.close() };
}
