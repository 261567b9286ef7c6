import { messageOf } from '../errors.ts';
import { disposeAfter, disposeAll } from '../host/dispose-all.ts';
import { CaptureWriter } from './capture/capture-writer.ts';
import { EngineWriter } from './engine-writer.ts';
import { LiveGuest } from './live/live-guest.ts';
import { liveLimits } from './live/live-options.ts';
import type { Prepared } from './prepare.ts';
import type { Protection } from './protection.ts';
import { QemuWriter, writerElsewhere } from './qemu-writer.ts';
import type { FileSaveRun, ReadyWriter, SaveRun, Written } from './save-run.ts';
import { StoppedGuest } from './stopped-guest.ts';

export interface WrittenGuest {
  readonly written: Written;
  /** Milliseconds for which the guest stood still; undefined when it did before, or still does. */
  readonly pauseMs: number | undefined;
}

/**
 * Stops a guest, lets it be written, and publishes its file. The guest goes on as soon as it is read, or when the save has
 * failed: before the writer lets go of what it holds, for that may take QEMU a while.
 * @param toFile the same save, when it is one into a file of this host
 * @throws {MappedRamError} as the writers, with what kept QEMU from being brought back, and as `Output.publish`
 */
export async function writeGuest(
  run: SaveRun,
  toFile: FileSaveRun | undefined,
  prepared: Prepared,
  protection: Protection,
): Promise<WrittenGuest> {
  const writer = await readyWriter(run, toFile);
  let done: WrittenGuest;
  try {
    done = await publishGuest(run, toFile, writer, prepared, protection);
  } catch (error) {
    throw await disposeAfter(await protection.recover(error), [writer]);
  }
  try {
    await disposeAll([writer]);
    return done;
  } catch (error) {
    // The snapshot is there: nothing that comes after takes it away.
    const words = `the snapshot is complete, but not all that its save held was let go: ${messageOf(error)}`;
    return { ...done, written: { ...done.written, warnings: [...done.written.warnings, words] } };
  }
}

async function publishGuest(
  { qmp, plan, options, before }: SaveRun,
  toFile: FileSaveRun | undefined,
  writer: ReadyWriter,
  { settings, after }: Prepared,
  protection: Protection,
): Promise<WrittenGuest> {
  const { signal } = options;
  await settings.apply({ signal });
  // A guest that is watched may be stopped at any moment, so the watch ends before QEMU is brought back.
  await using guest =
    plan.live.value && before === 'running'
      ? LiveGuest.watch(qmp, liveLimits(options), {
          maySleep: after === 'quit',
          tellOwners: (isStopped) => void protection.letGo(isStopped),
        })
      : await StoppedGuest.stop(qmp, before, { signal });
  const goOn = async (): Promise<void> => {
    // A guest that did not run before may run only when everything else has worked.
    if (after !== 'cont' || before !== 'running' || isOwners(guest)) return;
    await guest.letRun();
    await protection.letGo();
  };
  const written = await writer.write(guest, goOn);
  if (toFile !== undefined) {
    await toFile.output.finish();
    signal?.throwIfAborted();
    await toFile.output.publish();
  }
  if (!isOwners(guest)) return { written, pauseMs: guest.pauseMs };
  const words = 'somebody has stopped the guest while it was saved, and it stays so';
  return { written: { ...written, warnings: [...written.warnings, words] }, pauseMs: undefined };
}

/** True for a guest that its owner has stopped while QEMU wrote it. */
function isOwners(guest: StoppedGuest | LiveGuest): boolean {
  return guest instanceof LiveGuest && guest.isOwners;
}

async function readyWriter(run: SaveRun, toFile: FileSaveRun | undefined): Promise<ReadyWriter> {
  if (toFile === undefined) return writerElsewhere(run);
  if (run.plan.stateOnly.value) return CaptureWriter.ready(toFile);
  return run.plan.writer.value === 'engine' ? EngineWriter.ready(toFile) : QemuWriter.ready(toFile);
}
