import { MappedRamError } from '../../errors.ts';
import { disposeAfter, disposeAll } from '../../host/dispose-all.ts';
import type { AnonymousFile } from '../../io/anonymous-file.ts';
import type { FileReader } from '../../io/file-reader.ts';
import { localFile } from '../../io/open-source.ts';
import { writePieces } from '../../io/write-pieces.ts';
import { addReports } from '../../pages/add-reports.ts';
import { bytesInRuns } from '../../pages/byte-runs.ts';
import { lookAtProcessMemory, type ProcessMemory } from '../../qemu/memory/process-memory.ts';
import { queryRamBlocks, type RamBlockRow } from '../../qemu/memory/query-ram-blocks.ts';
import { DeviceState } from '../../qemu/state/device-state.ts';
import { makeLoadableState } from '../../qemu/state/loadable-state.ts';
import { type BaseIdentity, identifyBase } from '../../snapshot/base-identity.ts';
import { Snapshot } from '../../snapshot/snapshot.ts';
import { streamMachine } from '../../stream/write/compose-state.ts';
import { checkSaved } from '../check-saved.ts';
import { engineTransfer } from '../engine-transfer.ts';
import type { LiveGuest } from '../live/live-guest.ts';
import type { FileSaveRun, ReadyWriter, Written } from '../save-run.ts';
import type { StoppedGuest } from '../stopped-guest.ts';
import { assertApart, assertNotMemory, assertStillBase, openBase } from './capture-base.ts';
import { type CaptureForm, type CaptureLayout, chooseForm, layOut } from './capture-form.ts';
import { CapturedMemory, type TakenBlock } from './captured-memory.ts';
import { whileQemuLives } from './while-qemu-lives.ts';
import { passesOf, type PlacedBlock } from './captured-parts.ts';
import { sealWritten } from './seal-written.ts';
import { unreadableState } from './unreadable-state.ts';
import { settleZeroPages, writePasses } from './write-captured.ts';

/** The parts of a writer that are there before the guest is stopped. */
interface Parts {
  readonly run: FileSaveRun;
  readonly machine: NonNullable<NonNullable<FileSaveRun['plan']['capture']>['machine']>;
  readonly base: Snapshot | undefined;
  /** The base where it was opened for this save. */
  readonly opened: Snapshot | undefined;
  /** Blocks whose pages are the base's where QEMU's process has none. */
  readonly onBase: readonly string[];
  readonly form: CaptureForm;
  /** What a delta records of its base: finding it out takes a while, and the pause may wait for the layout. */
  readonly identity: BaseIdentity | undefined;
  readonly state: DeviceState;
  readonly memory: CapturedMemory;
}

/** A guest as it was while it stood still. */
interface Taken {
  readonly state: FileReader;
  readonly rows: readonly RamBlockRow[];
  /** QEMU's run state. */
  readonly stopped: string;
  readonly blocks: readonly TakenBlock[];
}

/** A guest with a loadable state, and the places of everything in the output. */
interface Laid {
  readonly file: AnonymousFile;
  readonly snapshot: Snapshot;
  readonly layout: CaptureLayout;
  readonly placed: readonly PlacedBlock[];
}

/**
 * Saves a guest by taking it out of QEMU's process. QEMU writes its device state, outside of a migration. The engine
 * copies the pages that the process has; they are written when the guest goes on.
 */
export class CaptureWriter implements ReadyWriter {
  readonly #parts: Parts;

  private constructor(parts: Parts) {
    this.#parts = parts;
  }

  /**
   * Opens the base, makes the output a clone of it where that is the form, gives QEMU a file for its device state, and
   * makes room for the copy.
   * @throws {MappedRamError} as `chooseForm`, `DeviceState.ready` and `CapturedMemory.ready`; ERR_MAPPED_RAM_BUSY when the
   *   base is being written; ERR_MAPPED_RAM_BASE when it is the guest's no more; ERR_MAPPED_RAM_INVALID_ARGUMENT for a
   *   delta in the place of its base; ERR_MAPPED_RAM_QEMU when QEMU's memory is not seen any more
   */
  static async ready(run: FileSaveRun): Promise<CaptureWriter> {
    const { qmp, plan, options, tag, output } = run;
    const { signal, timeoutMs } = options;
    const { machine, deviceState: facts } = plan.capture ?? {};
    if (machine === undefined) {
      throw new MappedRamError('ERR_MAPPED_RAM_INTERNAL', 'a plan without the facts of its machine');
    }
    const { value: path } = plan.base;
    const there = path === undefined ? undefined : run.ahead?.base;
    const opened = path === undefined || there !== undefined ? undefined : await openBase(path, signal);
    const base = there ?? opened;
    let state: DeviceState | undefined;
    try {
      const present = await seen(run, await queryRamBlocks(qmp, { signal }));
      await assertNotMemory(output, present);
      const { mapped, coming } =
        base === undefined
          ? { mapped: [], coming: [] }
          : await assertStillBase(qmp, base, present, plan.capture?.base);
      const form = await chooseForm(output, base, options.form);
      if (form.kind === 'delta') await assertApart(plan.target.path, base);
      const identity =
        form.kind === 'delta' && base !== undefined
          ? (run.ahead?.knownBase?.identity ?? (await identifyBase(base.reader, base.index, signal)))
          : undefined;
      const { targetPageSize: pageSize } = streamMachine({ ...machine, base: base?.index });
      state = await DeviceState.ready(qmp, { tag, facts, signal, timeoutMs });
      const memory = await CapturedMemory.ready(present, {
        pageSize,
        maxCopyMemory: options.maxCopyMemory,
        onBase: mapped,
        coming,
        room: run.ahead?.room,
      });
      const parts = { run, machine, base, opened, form, identity, state, memory };
      return new CaptureWriter({ ...parts, onBase: [...mapped, ...coming] });
    } catch (error) {
      throw await disposeAfter(error, [opened, state]);
    }
  }

  /**
   * @throws {MappedRamError} as `DeviceState.write`, `CapturedMemory.take`, `makeLoadableState`, `savePages` and
   *   `checkSaved`; ERR_MAPPED_RAM_QEMU when somebody let the guest run meanwhile
   */
  async write(guest: StoppedGuest | LiveGuest, whenRead: () => Promise<void>): Promise<Written> {
    const { run, state, form, base, memory } = this.#parts;
    const { plan, options, output, progress, sealing } = run;
    const { signal } = options;
    progress.step('state');
    const taken = await whileQemuLives(run.qmp, this.#take());
    const isLate = taken.blocks.every(({ left }) => left.length === 0);
    progress.step('memory');
    // Where everything goes has to be known in the pause only if something is written in it.
    let laid = isLate ? undefined : await this.#lay(taken);
    try {
      const transfer = {
        ...engineTransfer(plan, options),
        onProgress: (moved: Parameters<typeof progress.fromEngine>[0]) => progress.fromEngine(moved),
      };
      const inPause = laid && writePasses(output, passesOf(laid.placed, form.kind).inPause, transfer);
      const early = await whileQemuLives(run.qmp, inPause);
      await guest.assertStoodStill({ signal });
      await whenRead();
      // The guest does not wait for anything from here on.
      const takingBack = state.takeBack();
      // It is waited for below, unless something else fails first.
      takingBack.catch(() => undefined);
      laid ??= await this.#lay(taken);
      const { placed, layout, snapshot } = laid;
      const late = await writePasses(output, passesOf(placed, form.kind).after, transfer);
      await settleZeroPages(output, placed, form.kind, base);
      await writePieces(output, layout.pieces, snapshot.reader, signal);
      memory.dropCopy();
      await run.whenWritten?.();
      progress.step('publish');
      const report = early !== undefined && late !== undefined ? addReports(early, late) : (early ?? late);
      const written = { fd: localFile(output, 'a save').fd, offset: output.offset };
      const dataBytes = report?.dataBytes ?? 0;
      const { rows } = taken;
      const known = run.ahead?.knownBase ?? base;
      const saved = await checkSaved(written, { plan, dataBytes, rows, stoodStill: true, base: known });
      await sealWritten(sealing, written, base, engineTransfer(plan, options));
      await takingBack;
      signal?.throwIfAborted();
      const bytes = taken.blocks.reduce((total, { length }) => total + length, 0);
      // The sum of the passes counts the blocks again and again.
      const moved = report && { ...report, bytes };
      return { ...saved, migration: undefined, transfer: moved, capture: this.#report(taken) };
    } finally {
      await disposeAll([laid?.file, laid?.snapshot]);
    }
  }

  /** Takes everything that is the guest's only as long as it stands still. */
  async #take(): Promise<Taken> {
    const { run, state, memory } = this.#parts;
    const { qmp, options } = run;
    const wait = { signal: options.signal };
    // Nothing of it changes while the guest stands still, so QEMU gets all of the questions at once.
    const [reader, rows, { status: stopped }] = await Promise.all([
      state.write({ ...wait, timeoutMs: options.timeoutMs }),
      queryRamBlocks(qmp, wait),
      qmp.execute('query-status', undefined, wait),
    ]);
    const blocks = await memory.take(await seen(run, rows));
    return { state: reader, rows: rows ?? [], stopped, blocks };
  }

  /** Makes the device state loadable, and lays the output out around it. */
  async #lay({ state, rows, stopped, blocks }: Taken): Promise<Laid> {
    const { run, machine, base, onBase, form, identity } = this.#parts;
    const { output, options, before, plan } = run;
    const { signal } = options;
    const runState = { before, stopped };
    const loadable = { machine, rows, base: base?.index, runState, signal };
    const file = await makeLoadableState(state, loadable).catch((error: unknown) => {
      throw unreadableState(error);
    });
    let snapshot: Snapshot | undefined;
    try {
      snapshot = await Snapshot.open({ fd: file.fd }, signal);
      // A descriptor of the caller's has no name that anybody could look for its base from.
      const path = output.file?.path === undefined ? undefined : plan.target.path;
      const layout = await layOut(output, form, snapshot, { base, path, identity, signal });
      const placed = blocks.map((block) => {
        const area = layout.areas.get(block.id);
        if (area === undefined) throw unplaced(block.id);
        return { block, area, isOnBase: onBase.includes(block.id) };
      });
      return { file, snapshot, layout, placed };
    } catch (error) {
      throw await disposeAfter(error, [file, snapshot]);
    }
  }

  #report({ blocks }: Taken): NonNullable<Written['capture']> {
    const { form, base, memory } = this.#parts;
    const sum = (of: (block: TakenBlock) => number): number =>
      blocks.reduce((total, block) => total + of(block), 0);
    return {
      form: form.kind === 'delta' ? 'delta' : 'whole',
      formWhy: form.why,
      base: base?.path,
      changedBytes: sum(({ runs }) => bytesInRuns(runs)),
      bytesInPause: sum(({ left }) => bytesInRuns(left)),
      copyBytes: memory.capacity,
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { state, memory, opened } = this.#parts;
    await disposeAll([opened, memory, state]);
  }
}

/** QEMU's memory as it is now. @throws {MappedRamError} ERR_MAPPED_RAM_QEMU */
async function seen(
  { qmp, options }: FileSaveRun,
  rows: readonly RamBlockRow[] | undefined,
): Promise<ProcessMemory> {
  const memory = await lookAtProcessMemory(qmp, rows, { signal: options.signal });
  if (typeof memory !== 'string') return memory;
  throw new MappedRamError('ERR_MAPPED_RAM_QEMU', `QEMU's memory is not seen any more: ${memory}`);
}

function unplaced(id: string): MappedRamError {
  return new MappedRamError('ERR_MAPPED_RAM_INTERNAL', `no place in the snapshot for block ${id}`);
}
