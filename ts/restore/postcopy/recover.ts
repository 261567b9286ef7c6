import { MappedRamError } from '../../errors.ts';
import { disposeAfter } from '../../host/dispose-all.ts';
import { waitWithin, type WaitOptions } from '../../host/wait-within.ts';
import { assertOptions } from '../../io/assert-options.ts';
import { identifyQemu } from '../../qemu/identify-qemu.ts';
import { queryGuestMemory } from '../../qemu/memory/guest-memory.ts';
import { isComing, queryMigration } from '../../qemu/migration-info.ts';
import { querySettings } from '../../qemu/settings.ts';
import { assertClient } from '../../qmp/assert-client.ts';
import type { QmpClient } from '../../qmp/client.ts';
import type { Snapshot } from '../../snapshot/snapshot.ts';
import type { SnapshotSource } from '../../snapshot/snapshot-source.ts';
import { usingSnapshot } from '../../snapshot/using-snapshot.ts';
import { assertPostcopyOptions, type PostcopyOptions } from './postcopy-options.ts';
import { LazyMemory } from './lazy-memory.ts';
import { blockProblems } from './opening.ts';
import { MeetingPlace } from './meeting-place.ts';
import { assertRecovers, PREEMPT, switchPostcopyOff } from './postcopy-plan.ts';
import { ServedMemory } from './served-memory.ts';
import { type ReadyServer, Servers } from './servers.ts';
import { listenAnew } from './take-over.ts';

export interface RecoverOptions
  extends Pick<PostcopyOptions, 'push' | 'maxBandwidth' | 'server'>, WaitOptions {}

/** The state of a QEMU that has lost the source of its memory. */
const PAUSED = 'postcopy-paused';

/**
 * Takes over for a server of memory that is gone, and whose owner is, too: the guest of a lazy restore gets the rest. The
 * snapshot must be the very one that the guest was restored from, which nothing shows: QEMU tells which pages it has, not
 * where they came from.
 * @returns the memory that is on its way again; `complete` settles when all of it is there
 * @throws {MappedRamError} ERR_MAPPED_RAM_BUSY for a guest that has a server; ERR_MAPPED_RAM_INVALID_ARGUMENT for a QEMU
 *   that waits for no memory, for a snapshot with other blocks, and for a connection without commands out of band
 *   (`QmpClient.connect(server, { oob: true })`) where QEMU takes pages over two connections; ERR_MAPPED_RAM_QEMU; as
 *   `Snapshot.open`
 */
export async function recover(
  qmp: QmpClient,
  source: SnapshotSource | Snapshot,
  options: RecoverOptions = {},
): Promise<LazyMemory> {
  assertClient(qmp);
  assertOptions(options);
  const { timeoutMs, signal, ...postcopy } = options;
  assertPostcopyOptions(postcopy);
  signal?.throwIfAborted();
  return usingSnapshot(source, signal, (snapshot) =>
    recoverFrom(qmp, snapshot, postcopy, { timeoutMs, signal }),
  );
}

async function recoverFrom(
  qmp: QmpClient,
  snapshot: Snapshot,
  postcopy: PostcopyOptions,
  wait: WaitOptions,
): Promise<LazyMemory> {
  const [{ status }, settings, memory, { pid }] = await Promise.all([
    queryMigration(qmp, wait),
    querySettings(qmp, wait),
    queryGuestMemory(qmp, wait),
    identifyQemu(qmp, wait),
  ]);
  if (status !== PAUSED) throw notPaused(status);
  const problems = blockProblems(snapshot, memory);
  if (problems.length > 0 || snapshot.index.ram === undefined) {
    throw new MappedRamError('ERR_MAPPED_RAM_INVALID_ARGUMENT', problems.join('; '), { path: snapshot.path });
  }
  const preempt = settings.capabilities.get(PREEMPT) === true;
  if (preempt) assertRecovers(qmp);
  const things: AsyncDisposable[] = [];
  let ready: ReadyServer | undefined;
  try {
    const served = await ServedMemory.open(snapshot, memory);
    things.push(served);
    const place = await MeetingPlace.make(pid);
    things.push(place);
    const servers = new Servers(served, snapshot.index.ram.sectionId, postcopy);
    ready = await servers.ready(wait);
    const end = await listenAnew(qmp, place.path, wait);
    if (end !== undefined) throw notPaused(end);
    const server = ready.serve({ path: place.ownPath, preempt });
    // What kept QEMU from taking it is the error of its end.
    if (!(await waitWithin(server.loaded, wait, tooLate))) await server.done;
    await place[Symbol.asyncDispose]();
    // What QEMU had before that restore is not known; without the capability it can be saved again.
    const putBack = (): Promise<void> => switchPostcopyOff(qmp, settings);
    const { source } = served;
    // How the pages came that QEMU has already is not known.
    const pushes = true;
    return new LazyMemory(server, { qmp, pid, servers, source, pushes, preempt, putBack, things });
  } catch (error) {
    const discarded = ready?.discard();
    const failure = await disposeAfter(error, things);
    await discarded;
    throw failure;
  }
}

function notPaused(status: string): MappedRamError {
  const isServed = isComing(status);
  return new MappedRamError(
    isServed ? 'ERR_MAPPED_RAM_BUSY' : 'ERR_MAPPED_RAM_INVALID_ARGUMENT',
    isServed
      ? `this guest gets its memory from a server that lives (${status})`
      : `this guest waits for no memory (${status})`,
  );
}

function tooLate(): MappedRamError {
  return new MappedRamError('ERR_MAPPED_RAM_TIMEOUT', 'QEMU did not let another server take over in time');
}
