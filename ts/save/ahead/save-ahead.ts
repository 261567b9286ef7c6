import { fstatSync } from 'node:fs';

import type { ProcessCopy } from '../../engine/process/process-copy.ts';
import type { WaitOptions } from '../../host/wait-within.ts';
import { localFile } from '../../io/open-source.ts';
import { roomFor } from '../../negotiate/capture/copy-room.ts';
import type { SavePlan } from '../../negotiate/plan.ts';
import type { QmpClient } from '../../qmp/client.ts';
import { identifyBase } from '../../snapshot/base-identity.ts';
import type { KnownBase } from '../../snapshot/delta-base.ts';
import type { Snapshot } from '../../snapshot/snapshot.ts';
import { roomForCopy } from '../capture/room-for-copy.ts';
import { changingAnswers } from './changing-answers.ts';

/** The most bytes of room that wait for a copy: they are taken for as long as the save is not called. */
const MOST_ROOM = 128 * 2 ** 20;

/**
 * What a save by capture can have before it is called: its plan, the base, and room for the copy. Each is used only if it
 * is still right when the save begins; the save makes it anew else. Disposal gives the room back.
 */
export class SaveAhead implements Disposable {
  readonly #plan: SavePlan;
  /** QEMU's answers on which the plan stands. */
  readonly #answers: string;
  readonly #base: IdentifiedBase | undefined;
  readonly #room: ProcessCopy | undefined;
  /** QEMU's answers of now, which the next call of `plan` takes. */
  #asked: Promise<string> | undefined;

  private constructor(
    plan: SavePlan,
    answers: string,
    base: IdentifiedBase | undefined,
    room: ProcessCopy | undefined,
  ) {
    this.#plan = plan;
    this.#answers = answers;
    this.#base = base;
    this.#room = room;
  }

  /**
   * @param plan made a moment ago, for the same arguments as those of the save
   * @param base the plan's base, open and held, which stays the caller's
   * @throws {MappedRamError} as {@link QmpClient.execute} and `identifyBase`
   */
  static async of(
    qmp: QmpClient,
    plan: SavePlan,
    base: Snapshot | undefined,
    wait: WaitOptions,
  ): Promise<SaveAhead> {
    const answers = await changingAnswers(qmp, wait);
    const known = base && (await identified(base, wait.signal));
    const { ownBytes } = plan.capture ?? {};
    const isCapture = plan.stateOnly.value && ownBytes !== undefined;
    const room = isCapture ? await roomForCopy(Math.min(roomFor(ownBytes), MOST_ROOM), undefined) : undefined;
    return new SaveAhead(plan, answers, known, room);
  }

  /**
   * Asks QEMU beside the caller's own questions all those on which the plan stands, a moment before the save.
   * @throws {MappedRamError} as {@link QmpClient.execute}
   */
  async ask(qmp: QmpClient, wait: WaitOptions): Promise<void> {
    this.#asked = changingAnswers(qmp, wait);
    await this.#asked;
  }

  /**
   * The plan, when QEMU answers all questions on which it stands as it did before, or has just done so.
   * @throws {MappedRamError} as {@link QmpClient.execute}
   */
  async plan(qmp: QmpClient, wait: WaitOptions): Promise<SavePlan | undefined> {
    const answers = this.#asked ?? changingAnswers(qmp, wait);
    this.#asked = undefined;
    return (await answers) === this.#answers ? this.#plan : undefined;
  }

  /** The base, when nobody has written to it since. */
  get base(): Snapshot | undefined {
    return this.#unchanged?.snapshot;
  }

  /** The base with what `identifyBase` said of it, likewise. The digest of its seal is that of then. */
  get knownBase(): KnownBase | undefined {
    return this.#unchanged?.known;
  }

  get #unchanged(): IdentifiedBase | undefined {
    return this.#base && versionOf(this.#base.snapshot) === this.#base.version ? this.#base : undefined;
  }

  /** Room for the copy, which stays this object's. */
  get room(): ProcessCopy | undefined {
    return this.#room;
  }

  [Symbol.dispose](): void {
    this.#room?.close();
  }
}

/** A base that is open, with its identity as of that version. */
interface IdentifiedBase {
  readonly snapshot: Snapshot;
  readonly version: string;
  readonly known: KnownBase;
}

async function identified(snapshot: Snapshot, signal: AbortSignal | undefined): Promise<IdentifiedBase> {
  const version = versionOf(snapshot);
  const { path, reader, index } = snapshot;
  const identity = await identifyBase(reader, index, signal);
  return { snapshot, version, known: { path, reader, index, identity } };
}

function versionOf({ reader }: Snapshot): string {
  const { size, mtimeNs } = fstatSync(localFile(reader, 'a base').fd, { bigint: true });
  return `${size} ${mtimeNs}`;
}
