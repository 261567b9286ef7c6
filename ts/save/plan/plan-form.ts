import { THERE_ALREADY, whyNoClone } from '../../convert/reflink.ts';
import { ASKED } from '../../negotiate/decide.ts';
import type { Decision, SavePlan } from '../../negotiate/plan.ts';
import type { SaveForm } from '../../negotiate/request.ts';
import type { Snapshot } from '../../snapshot/snapshot.ts';
import { createOutput } from '../../snapshot/snapshot-target.ts';
import { assertApart, openBase } from '../capture/capture-base.ts';
import { asBase, noWhole, SHARED, unshared } from '../capture/capture-form.ts';
import type { SaveOptions } from '../save-options.ts';

/**
 * Finds out which form an incremental save can have: a new file beside the target is made a clone of the base, and
 * removed. A filesystem's name does not tell.
 * @param into a descriptor that the snapshot goes into, in the place of a name
 * @returns the plan's own decision where there is nothing to find out
 * @throws {MappedRamError} ERR_MAPPED_RAM_UNSUPPORTED for `whole` where no file can share the blocks of the base; as
 *   `openBase`, `assertApart` and `createOutput`
 */
export async function planForm(
  { base: { value: path }, form, target }: SavePlan,
  { form: wanted = 'auto', overwrite, signal }: SaveOptions,
  into: number | undefined,
): Promise<Decision<SaveForm | undefined>> {
  if (path === undefined) return form;
  await using base = await openBase(path, signal);
  if (wanted === 'delta') {
    await assertApart(target.path, base);
    return form;
  }
  // Whatever is in a descriptor's file is the caller's until the save.
  const why = into === undefined ? await tryOut(base, target, { overwrite, signal }) : THERE_ALREADY;
  if (why === undefined) return { value: 'whole', why: wanted === 'whole' ? ASKED : SHARED };
  if (wanted === 'whole') throw noWhole(why, target.path);
  await assertApart(target.path, base);
  return { value: 'delta', why: unshared(why) };
}

async function tryOut(
  base: Snapshot,
  { path: name = '', offset }: SavePlan['target'],
  { overwrite, signal }: Pick<SaveOptions, 'overwrite' | 'signal'>,
): Promise<string | undefined> {
  await using trial = await createOutput({ path: name, offset }, { overwrite, signal });
  return await whyNoClone(asBase(base), trial);
}
