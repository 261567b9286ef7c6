import { fstatSync } from 'node:fs';

import type { ProcessCopy } from '../../engine/process/process-copy.ts';
import type { WaitOptions } from '../../host/wait-within.ts';
import { localFile } from '../../io/open-source.ts';
import { roomFor } from '../../negotiate/capture/copy-room.ts';
import type { SavePlan } from '../../negotiate/plan.ts';
import type { QmpClient } from '../../qmp/client.ts';
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
  readonly #base: { readonly snapshot: Snapshot; readonly version: string } | undefined;
  readonly #room: ProcessCopy | undefined;

  private constructor(
    plan: SavePlan,
    answers: string,
    base: Snapshot | undefined,
    room: ProcessCopy | undefined,
  ) {
    this.#plan = plan;
    this.#answers = answers;
    this.#base = base && { snapshot: base, version: versionOf(base) };
    this.#room = room;
  }

  /**
   * @param plan made a moment ago, for the same arguments as those of the save
   * @param base the plan's base, open and held, which stays the caller's
   * @throws {MappedRamError} as {@link QmpClient.execute}
   */
  static async of(
    qmp: QmpClient,
    plan: SavePlan,
    base: Snapshot | undefined,
    wait: WaitOptions,
  ): Promise<SaveAhead> {
    const answers = await changingAnswers(qmp, wait);
    const { ownBytes } = plan.capture ?? {};
    const isCapture = plan.stateOnly.value && ownBytes !== undefined;
    const room = isCapture ? await roomForCopy(Math.min(roomFor(ownBytes), MOST_ROOM), undefined) : undefined;
    return new SaveAhead(plan, answers, base, room);
  }

  /**
   * The plan, when QEMU answers all questions on which it stands as it did before.
   * @throws {MappedRamError} as {@link QmpClient.execute}
   */
  async plan(qmp: QmpClient, wait: WaitOptions): Promise<SavePlan | undefined> {
    return (await changingAnswers(qmp, wait)) === this.#answers ? this.#plan : undefined;
  }

  /** The base, when nobody has written to it since. */
  get base(): Snapshot | undefined {
    if (this.#base === undefined) return undefined;
    const { snapshot, version } = this.#base;
    return versionOf(snapshot) === version ? snapshot : undefined;
  }

  /** Room for the copy, which stays this object's. */
  get room(): ProcessCopy | undefined {
    return this.#room;
  }

  [Symbol.dispose](): void {
    this.#room?.close();
  }
}

function versionOf({ reader }: Snapshot): string {
  const { size, mtimeNs } = fstatSync(localFile(reader, 'a base').fd, { bigint: true });
  return `${size} ${mtimeNs}`;
}
