import test from 'ava';

import { ERROR_CODES, MappedRamError } from '../../ts/errors.ts';
import { QmpClient } from '../../ts/qmp/client.ts';
import { recoverAtLast, type Recovery } from '../../ts/save/recovery.ts';
import { QmpPeer } from '../support/qmp-peer.ts';

const TAG = 'mapped-ram-tag';
/** The recovery of a guest that is only claimed: the first command asks whether it still is. */
const RECOVERY: Recovery = { tag: TAG, claim: 'claimed', goal: undefined };

interface Asked {
  readonly qmp: QmpClient;
  readonly commands: string[];
}

/** A client whose commands end with the outcomes, one after the other, and then with the last one again and again. */
async function clientOf(outcomes: readonly (MappedRamError | object | string)[]): Promise<Asked> {
  const qmp = await QmpClient.open(new QmpPeer().stream);
  const commands: string[] = [];
  const execute = async (command: string): Promise<unknown> => {
    const outcome = outcomes[Math.min(commands.length, outcomes.length - 1)];
    commands.push(command);
    if (outcome instanceof MappedRamError) throw outcome;
    return outcome;
  };
  Object.assign(qmp, { execute });
  return { qmp, commands };
}

const late = new MappedRamError('ERR_MAPPED_RAM_TIMEOUT', 'qom-get: no answer in time');

test('a QEMU that does not answer is asked again until it does', async (t) => {
  const { qmp, commands } = await clientOf([late, late, late, `${TAG} 1`, [], `${TAG} 1`, {}]);
  await recoverAtLast(qmp, RECOVERY);
  // A descriptor may have been given before there was a goal.
  const last = ['query-fdsets', 'qom-get', 'object-del'];
  t.deepEqual(commands, ['qom-get', 'qom-get', 'qom-get', 'qom-get', ...last]);
  await qmp.close();
});

test('a recovery that fails with anything but lateness is not tried again', async (t) => {
  const others = ERROR_CODES.filter((code) => code !== 'ERR_MAPPED_RAM_TIMEOUT');
  t.true(others.includes('ERR_MAPPED_RAM_IO'));
  for (const code of others) {
    const error = new MappedRamError(code, 'a descriptor cannot be sent');
    const { qmp, commands } = await clientOf([error]);
    t.is(await t.throwsAsync(recoverAtLast(qmp, RECOVERY)), error);
    t.is(commands.length, 1, code);
    await qmp.close();
  }
  const error = new MappedRamError('ERR_MAPPED_RAM_IO', 'a descriptor cannot be sent');
  const { qmp, commands } = await clientOf([late, error]);
  t.is(await t.throwsAsync(recoverAtLast(qmp, RECOVERY)), error);
  t.is(commands.length, 2);
  await qmp.close();
});

test('a QEMU whose connection has ended is not asked again', async (t) => {
  const { qmp, commands } = await clientOf([late]);
  await qmp.close();
  t.is(await t.throwsAsync(recoverAtLast(qmp, RECOVERY)), late);
  t.is(commands.length, 1);
});
