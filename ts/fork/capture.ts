import { MappedRamError } from '../errors.ts';
import { deferred } from '../host/deferred.ts';
import type { WaitOptions } from '../host/wait-within.ts';
import { saveInto } from '../save/save.ts';
import type { SaveResult } from '../save/save-options.ts';
import { Snapshot } from '../snapshot/snapshot.ts';
import type { ForkOptions } from './fork-options.ts';
import { FORKED, type ForkSource, WHOLE } from './fork-source.ts';

/** The guest as it was in its pause: a snapshot in memory, without a name. Disposal gives this process's hold of it up. */
export interface Captured extends AsyncDisposable {
  readonly snapshot: Snapshot;
  /** Lets the snapshot be checked, for which the clones need not wait with their loads. @returns the end of it */
  readonly check: () => Promise<void>;
  /** Lets the source be brought to its final state, for which the clones need not wait. @returns the save */
  readonly finish: () => Promise<SaveResult>;
  /** Bytes of memory that the snapshot takes. */
  readonly bytes: number;
}

type CaptureOptions = Pick<ForkOptions, 'guard'> & WaitOptions;

/**
 * Takes the guest in one pause, and lets it go on.
 * @throws {MappedRamError} as `saveInto`
 */
export async function capture(source: ForkSource, options: CaptureOptions): Promise<Captured> {
  const { qmp, form, mapped, into, ahead } = source;
  const how = form === 'delta' ? ({ base: mapped.path, form } as const) : WHOLE;
  const [written, checking, checked, finishing] = [
    deferred<void>(),
    deferred<void>(),
    deferred<void>(),
    deferred<void>(),
  ];
  const saved = saveInto(
    qmp,
    into.fd,
    { ...options, ...how },
    {
      ahead,
      whenWritten: () => {
        written.resolve();
        return checking.promise;
      },
      whenChecked: () => {
        checked.resolve();
        return finishing.promise;
      },
    },
  );
  saved.catch((error: unknown) => {
    written.reject(error);
    checked.reject(error);
  });
  checked.promise.catch(() => undefined);
  const check = (): Promise<void> => {
    checking.resolve();
    return checked.promise;
  };
  const finish = (): Promise<SaveResult> => {
    checking.resolve();
    finishing.resolve();
    return saved;
  };
  await written.promise;
  try {
    const snapshot =
      form === 'delta'
        ? await Snapshot.openOver({ fd: into.fd }, ahead.knownBase ?? mapped)
        : // The QEMUs that wait have this file mapped.
          await whole(await Snapshot.openAs(FORKED, into.procPath), mapped);
    const bytes = snapshot.sources[0]?.allocated ?? 0;
    const close = async (): Promise<void> => {
      await finish().catch(() => undefined);
      await snapshot.close();
    };
    return { snapshot, check, finish, bytes, [Symbol.asyncDispose]: close };
  } catch (error) {
    // The save looks closer, and has the better error.
    await finish();
    throw error;
  }
}

/** Makes sure that the guest lies where its QEMUs look for it. */
async function whole(snapshot: Snapshot, mapped: Snapshot): Promise<Snapshot> {
  const { blocks } = snapshot.completeRam(true);
  const isSame = mapped
    .completeRam()
    .blocks.every(({ id, area }) =>
      blocks.some((block) => block.id === id && block.area.pagesOffset === area.pagesOffset),
    );
  if (isSame) return snapshot;
  await snapshot.close();
  throw new MappedRamError(
    'ERR_MAPPED_RAM_INTERNAL',
    'the memory of the fork lies elsewhere than where its QEMUs look for it',
  );
}
