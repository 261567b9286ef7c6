import { connect } from 'node:net';

import type { ExecutionContext } from 'ava';

import { messageOf } from '../../ts/errors.ts';
import { MappedRamError, planSave, QmpClient, save, type SaveOptions } from '../../ts/index.ts';
import { qemuTest } from '../support/qemu-required.ts';
import {
  killCount,
  areAtWork,
  describePoint,
  type KillPoint,
  killPoints,
  type Phase,
  randomNumbers,
  StepsSeen,
} from '../save/kill-points.ts';
import { QmpProxy } from '../save/qmp-proxy.ts';
import { unreapedChildren } from '../save/running-guards.ts';
import { CAPTURES, RIG_KINDS, type RigKind, SaveRig } from '../save/save-rig.ts';

const SEED = 5;

/** Runs one save and calls `spoil` at the point. */
async function spoiledSave(
  rig: SaveRig,
  qmp: QmpClient,
  options: SaveOptions,
  point: KillPoint | undefined,
  spoil: () => void,
): Promise<{ readonly error: unknown; readonly last: string; readonly phases: readonly Phase[] }> {
  const steps = new StepsSeen();
  steps.follow(rig.guest.qmp);
  const saving = save(qmp, rig.target, {
    ...rig.options,
    ...options,
    onProgress: ({ step }) => steps.add(step),
  });
  const ended = saving.then(
    () => undefined,
    (error: unknown) => error ?? new Error('no reason'),
  );
  if (point !== undefined) {
    await steps.reach(point, ended);
    spoil();
  }
  const { last } = steps;
  const error = await ended;
  return { error, last, phases: steps.stop() };
}

/** True for the error of a lost connection after which everything could be put right. */
function isLoss(error: unknown): boolean {
  return (
    error instanceof MappedRamError &&
    error.code === 'ERR_MAPPED_RAM_QEMU' &&
    !error.message.includes('could not be brought back')
  );
}

function isCapture(kind: RigKind): boolean {
  return CAPTURES.some((capture) => capture === kind);
}

async function measure(t: ExecutionContext, rig: SaveRig): Promise<readonly Phase[]> {
  await using qmp = await QmpClient.connect(rig.server);
  const { phases } = await spoiledSave(rig, qmp, {}, undefined, () => undefined);
  await rig.assertAsBefore(t, 'not spoiled');
  t.log(`seed ${SEED}`, ...phases.map(({ step, durationMs }) => `${step} ${durationMs.toFixed(0)} ms`));
  return phases;
}

for (const writer of RIG_KINDS) {
  qemuTest(`a save that is aborted at any moment leaves all as it was, writer ${writer}`, async (t) => {
    await using rig = await SaveRig.start(writer);
    const phases = await measure(t, rig);
    await using qmp = await QmpClient.connect(rig.server);
    const hit: string[] = [];
    for (const [index, point] of killPoints(killCount(5), phases, randomNumbers(SEED)).entries()) {
      const runs = writer === 'live' || index % 3 !== 2;
      const controller = new AbortController();
      const reason = new Error('enough');
      const options = { signal: controller.signal, guard: index % 2 === 0 ? 'on' : 'off' } as const;
      await rig.prepare(runs);
      const { error, last } = await spoiledSave(rig, qmp, options, point, () => controller.abort(reason));
      const when = `${runs ? 'running' : 'stopped'}, aborted ${describePoint(point)}`;
      hit.push(error === undefined ? 'too late' : last);
      t.true(error === undefined || error === reason, `${when}: ${String(error)}`);
      t.is(await rig.assertNoneIncomplete(t, when), error === undefined, when);
      await rig.assertAsBefore(t, when);
    }
    t.log('aborted after', hit.join(', '));
    t.true(areAtWork(hit), 'hardly one was aborted at work');
  });

  qemuTest(`a QMP connection that is cut at any moment is no loss, writer ${writer}`, async (t) => {
    await using rig = await SaveRig.start(writer);
    const phases = await measure(t, rig);
    const hit: string[] = [];
    for (const [index, point] of killPoints(killCount(5), phases, randomNumbers(SEED + 1)).entries()) {
      const runs = writer === 'live' || index % 3 !== 2;
      await rig.prepare(runs);
      // Without descriptors QEMU gives no device state alone.
      const both = index % 2 === 0 && !isCapture(writer);
      const when = `${runs ? 'running' : 'stopped'}, ${both ? 'both sides' : 'our side'} cut ${describePoint(point)}`;
      await using proxy = await QmpProxy.listen(`${rig.server}.proxy`, rig.server);
      // The monitor takes one client at a time.
      const socket = both ? undefined : connect(rig.server);
      // The `pid` is given since a proxy hides which process QEMU is. Descriptors do not get through a proxy, either.
      const { pid } = rig.guest.qemu;
      await using qmp = await QmpClient.connect(socket ?? `${rig.server}.proxy`, { pid });
      const options = both ? ({ fdset: 'off' } as const) : {};
      const { error, last } = await spoiledSave(rig, qmp, options, point, () => {
        if (socket === undefined) proxy.cut();
        else socket.destroy();
      });
      hit.push(error === undefined ? 'too late' : last);
      if (error !== undefined) t.true(isLoss(error), `${when}: ${messageOf(error)} ${JSON.stringify(error)}`);
      t.is(await rig.assertNoneIncomplete(t, when), error === undefined, when);
      await rig.assertAsBefore(t, when);
    }
    t.deepEqual(unreapedChildren(), []);
    t.log('cut after', hit.join(', '));
    t.true(areAtWork(hit), 'hardly one was cut at work');
  });
}

/** Cuts a connection at this side as soon as a command is on its way. */
function cutAfter(qmp: QmpClient, last: string, cut: () => void): void {
  const execute = qmp.execute.bind(qmp);
  const spied: typeof execute = (command, ...rest) => {
    const answer = execute(command, ...rest);
    if (command === last) setImmediate(cut);
    return answer;
  };
  qmp.execute = spied;
}

qemuTest('a cut while a stopped guest is asked whether it is asleep leaves QEMU no descriptor', async (t) => {
  await using rig = await SaveRig.start('engine');
  const { pid } = rig.guest.qemu;
  for (const last of ['add-fd', 'xen-save-devices-state', 'query-fdsets', 'remove-fd'] as const) {
    await rig.prepare(false);
    // A save has a guard, which inherits the connection, so that no address is needed.
    const socket = connect(rig.server);
    await using saving = await QmpClient.connect(socket, { pid });
    cutAfter(saving, last, () => socket.destroy());
    const lost = await t.throwsAsync(save(saving, rig.target, rig.options), undefined, `save, ${last}`);
    t.true(isLoss(lost), `save, ${last}: ${String(lost)}`);
    await rig.assertAsBefore(t, `save, ${last}`);
    await rig.prepare(false);
    await using planning = await QmpClient.connect(rig.server, { pid });
    cutAfter(planning, last, () => void planning.close());
    // A plan that is made already is no failure.
    const failed = await planSave(planning, rig.target, rig.options).then(
      () => undefined,
      (error: unknown) => error,
    );
    if (failed !== undefined)
      t.true(failed instanceof MappedRamError, `planSave, ${last}: ${messageOf(failed)}`);
    await rig.assertAsBefore(t, `planSave, ${last}`);
  }
});
