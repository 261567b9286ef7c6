import { IO_ENGINES } from '../../engine/transfer-options.ts';
import { MappedRamError } from '../../errors.ts';
import { byteCount } from '../../io/byte-count.ts';
import { assertWords } from '../../io/option-words.ts';
import { negotiate } from '../../negotiate/negotiate.ts';
import type { SavePlan } from '../../negotiate/plan.ts';
import { LIVE, SWITCHES, type SaveRequest } from '../../negotiate/request.ts';
import type { QmpClient } from '../../qmp/client.ts';
import { Sealing } from '../../seal/sealing.ts';
import { SEAL_OF } from '../../seal/seal-file.ts';
import { assertTarget } from '../../snapshot/snapshot-target.ts';
import { assertLiveOptions, WHEN_NOT_CONVERGING } from '../live/live-options.ts';
import { assertRunState } from '../run-state/assert-run-state.ts';
import { engineOption, saveRequest, type SaveOptions } from '../save-options.ts';
import { assertStateFits, demandOf } from './demand.ts';

/**
 * Works out how a guest is saved, and makes sure that its snapshot can get its name.
 * @param into a descriptor that the snapshot goes into, in the place of a name
 * @throws {MappedRamError} as `planSave`, except for `assertNotStoppedAsleep`
 */
export async function makePlan(
  qmp: QmpClient,
  target: SaveRequest['target'],
  options: SaveOptions,
  into?: number,
): Promise<SavePlan> {
  assertWords(options, {
    guard: SWITCHES,
    ioEngine: IO_ENGINES,
    live: LIVE,
    whenNotConverging: WHEN_NOT_CONVERGING,
  });
  const { signal } = options;
  byteCount('maxCopyMemory', options.maxCopyMemory ?? 0);
  const plan = await negotiate(qmp, saveRequest(target, options), { signal });
  assertRunState(plan.qemu.runState, options.after);
  assertLiveOptions(options, plan);
  await assertStateFits(qmp, plan);
  const { path, offset } = plan.target;
  if (path !== undefined && into === undefined) {
    const { overwrite } = options;
    await assertTarget(path, offset, { overwrite, signal, companions: SEAL_OF }, demandOf(qmp, plan, signal));
    await Sealing.check(path, options);
  }
  if (options.maxCopyMemory !== undefined && !plan.stateOnly.value) {
    throw new MappedRamError(
      'ERR_MAPPED_RAM_INVALID_ARGUMENT',
      `maxCopyMemory means nothing here, because no copy is taken: ${plan.stateOnly.why}`,
      { path },
    );
  }
  const name = engineOption(options);
  if (plan.writer.value === 'engine' || name === undefined) return plan;
  const hint = name === 'seal' ? '; what QEMU has written is sealed afterwards, with verify --seal' : '';
  throw new MappedRamError(
    'ERR_MAPPED_RAM_INVALID_ARGUMENT',
    `${name} is an option of the writer engine, but QEMU would write: ${plan.writer.why}${hint}`,
    { path },
  );
}
