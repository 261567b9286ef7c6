import { setTimeout as delay } from 'node:timers/promises';

import { isServerLost, type PageServer } from '../../engine/serve/page-server.ts';
import { MappedRamError } from '../../errors.ts';
import { disposeAfter } from '../../host/dispose-all.ts';
import { waitWithin, type WaitOptions } from '../../host/wait-within.ts';
import { beginIncoming, migrationFailure } from '../../qemu/migration.ts';
import { queryMigration } from '../../qemu/migration-info.ts';
import { migrateArguments } from '../../qemu/migrate-arguments.ts';
import type { QmpClient } from '../../qmp/client.ts';
import type { Loaded, LoadRun } from '../load.ts';
import { setAutostart, settle } from '../run-state.ts';
import { findWorkingSet } from '../../working-set/find-working-set.ts';
import { EarlyServer } from './early-server.ts';
import { LazyMemory } from './lazy-memory.ts';
import { makeOpening } from './opening.ts';
import { MeetingPlace } from './meeting-place.ts';
import { memoryFileProblem } from './memory-file-problem.ts';
import { applyPostcopy } from './postcopy-plan.ts';
import { ServedMemory } from './served-memory.ts';
import { lostBeforeRun } from './server-lost.ts';
import { type ReadyServer, Servers } from './servers.ts';

const POLL_MS = 1;
/** Questions without a pause: QEMU hardly answers any before it has loaded the guest. */
const TRIES_AT_ONCE = 20;
const WHY = 'the guest runs at once, and its memory follows page by page';

/**
 * Lets a guest run at once in a QEMU that asks this package for its memory (docs/format.md §14). When this rejects, QEMU
 * can only be ended.
 * @throws {MappedRamError} ERR_MAPPED_RAM_UNSUPPORTED, ERR_MAPPED_RAM_DIRECT_IO_UNAVAILABLE,
 *   ERR_MAPPED_RAM_INVALID_ARGUMENT before anything has changed, when this cannot be; ERR_MAPPED_RAM_QEMU when QEMU fails; ERR_MAPPED_RAM_TIMEOUT; ERR_MAPPED_RAM_IO when the server
 *   of the pages ended before the guest ran
 */
export async function loadLazily(run: LoadRun): Promise<Loaded> {
  const { qmp, facts, pid, snapshot, options } = run;
  const { postcopy = {}, hot, directIo, timeoutMs, signal, heldBack } = options;
  // Whoever ran is to run by now: QEMU has no other words for it here.
  const after = options.after === 'as-saved' ? 'stop' : options.after;
  const wait = { timeoutMs, signal };
  refuseFiles(run);
  const opening = await makeOpening(snapshot, facts.memory);
  const things: AsyncDisposable[] = [];
  let ready: ReadyServer | undefined;
  let follow: LazyMemory | undefined;
  try {
    const { found, warnings } = hot === undefined ? await findWorkingSet(snapshot) : { warnings: [] };
    const memory = await ServedMemory.open(snapshot, facts.memory, { hot: hot ?? found?.pages, directIo });
    things.push(memory);
    const place = await MeetingPlace.make(pid);
    things.push(place);
    const servers = new Servers(memory, opening.sectionId, postcopy);
    const { preempt: wanted = 'auto' } = postcopy;
    const [made, settings] = await Promise.allSettled([
      servers.ready(
        wait,
        opening.bytes,
        options.beside instanceof EarlyServer ? options.beside.take() : undefined,
      ),
      applyPostcopy(qmp, { facts, snapshot, path: place.path, preempt: wanted, directIo, ...wait }),
    ]);
    if (made.status === 'fulfilled') ready = made.value;
    if (settings.status === 'rejected') throw settings.reason;
    const { plan, applied, preempt } = settings.value;
    things.push(applied);
    if (ready === undefined) throw made.status === 'rejected' ? made.reason : undefined;
    await setAutostart(qmp, heldBack ? 'stop' : after, wait);
    const stderrBefore = qmp.stderr;
    // It knocks until QEMU listens.
    const server = ready.serve({ path: place.ownPath, preempt });
    const startedAt = performance.now();
    await beginIncoming(qmp, migrateArguments(plan.target.address));
    // QEMU answers when it has its devices, and the server's word takes its time, too.
    const loading = untilLoaded(qmp, wait);
    loading.catch(() => undefined);
    const isLoaded = await waitWithin(server.loaded, wait, tooLate);
    if (!isLoaded) throw await whyNot(qmp, server, stderrBefore);
    // From here on another server can take over.
    const putBack = (): Promise<void> => applied.putBack();
    const { source } = memory;
    const { pushes } = servers;
    follow = new LazyMemory(server, {
      qmp,
      pid,
      servers,
      source,
      pushes,
      preempt,
      putBack,
      things: [memory],
    });
    const { runState, readyAt } = await settle(qmp, after, wait, await loading);
    // The two have met.
    await place[Symbol.asyncDispose]();
    return {
      form: 'stream',
      why: WHY,
      plan,
      warnings: [...warnings, ...plan.notes.map(({ words }) => words)],
      runState,
      loadMs: readyAt - startedAt,
      readyAt,
      memory: follow,
    };
  } catch (error) {
    // The memory is closed meanwhile: it would have another server take over.
    const discarded = ready?.discard();
    const failure = await disposeAfter(error, [...things, follow]);
    await discarded;
    throw failure;
  }
}

/** Refuses memory that QEMU would have to empty, or cannot take pages in. */
function refuseFiles({ facts, snapshot, pid }: LoadRun): void {
  const problems = facts.memory.flatMap(({ id, backend }) => {
    if (backend?.path === undefined) return [];
    const problem = memoryFileProblem(id, backend.path, pid);
    return problem === undefined ? [] : [problem];
  });
  if (problems.length === 0) return;
  throw new MappedRamError('ERR_MAPPED_RAM_UNSUPPORTED', problems.join('; '), { path: snapshot.path });
}

/** Waits until QEMU has done what it was told behind the last device: to let the guest run. @returns its run state then */
async function untilLoaded(qmp: QmpClient, wait: WaitOptions): Promise<string> {
  const until = performance.now() + (wait.timeoutMs ?? Number.POSITIVE_INFINITY);
  for (let tries = 1; ; tries += 1) {
    const { status } = await qmp.execute('query-status', undefined, wait);
    if (status !== 'inmigrate') return status;
    if (performance.now() > until) throw tooLate();
    if (tries > TRIES_AT_ONCE) await delay(POLL_MS, undefined, { signal: wait.signal });
  }
}

/** The reason why a guest did not come up. */
async function whyNot(qmp: QmpClient, server: PageServer, stderrBefore: string): Promise<unknown> {
  const lost = await server.done.then(
    () => undefined,
    (error: unknown) => error,
  );
  // What the server had to say counts, also when it is gone by now.
  if (!isServerLost(lost)) return lost;
  if (server.isGone) return lostBeforeRun(lost);
  try {
    const info = await queryMigration(qmp);
    return await migrationFailure(qmp, 'loading the guest', info, stderrBefore);
  } catch (error) {
    // QEMU has ended, and says with which words.
    return error;
  }
}

function tooLate(): MappedRamError {
  return new MappedRamError('ERR_MAPPED_RAM_TIMEOUT', 'loading the guest: not done in time');
}
