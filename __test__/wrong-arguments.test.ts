import test from 'ava';

import * as api from '../ts/index.ts';
import { syntheticSnapshot } from './restore/synthetic-snapshot.ts';
import { QmpPeer } from './support/qmp-peer.ts';
import { temporaryDirectory } from './support/temporary.ts';

/**
 * The values that are wrong wherever options, a connection or a place are wanted. Nothing can be written at the place
 * that the text names.
 */
const WRONG: readonly unknown[] = [undefined, null, {}, 5, '/nonexistent/x', [], new Date(0)];

/** Exports that are no functions to call with arguments, or that a wrong argument does not stop. */
const OTHERS = new Set([
  'MappedRamError',
  'Snapshot',
  'QmpClient',
  'PreloadedRam',
  'BlockDiff',
  'bench',
  'demo',
  'doctor',
]);

test('whatever the arguments, a promise rejects with an error of this package', async (t) => {
  await using dir = await temporaryDirectory();
  await using snapshot = await syntheticSnapshot(dir, [{ id: 'pc.ram', pages: 16 }]);
  const { path } = snapshot;
  const peer = new QmpPeer();
  await using qmp = await api.QmpClient.open(peer.stream, { commandTimeoutMs: 20 });
  const loose: unknown[] = [];
  const listen = (reason: unknown): void => void loose.push(reason);
  process.on('unhandledRejection', listen);
  let promises = 0;
  for (const [name, value] of Object.entries<unknown>(api)) {
    if (typeof value !== 'function' || OTHERS.has(name)) continue;
    const lists = [
      ...WRONG.flatMap((first) => WRONG.map((second) => [first, second])),
      ...WRONG.flatMap((second) => WRONG.map((third) => [qmp, second, third])),
      ...WRONG.map((second) => [path, second]),
      ...WRONG.map((third) => [path, dir.file('out'), third]),
      ...['signal', 'args', 'blocks', 'inPlace', 'state', 'transfer', 'fresh'].flatMap((key) =>
        [null, 5, [5]].flatMap((wrong) =>
          [{ mode: 'eager', args: [], inPlace: [], blocks: [], [key]: wrong }].flatMap((options) => [
            [path, options],
            [qmp, path, options],
          ]),
        ),
      ),
      [qmp, { direction: 'restore', target: path, snapshot: null }],
      [qmp, { direction: 'restore', target: path, snapshot: 5 }],
      [qmp, { direction: 'save', target: null }],
    ];
    for (const list of lists) {
      let result: unknown;
      try {
        result = Reflect.apply(value, undefined, list);
      } catch {
        // A function that returns no promise may throw.
        continue;
      }
      if (!(result instanceof Promise)) continue;
      promises += 1;
      const error: unknown = await result.then(closeResult, (reason: unknown) => reason);
      const isOurs = error === undefined || error instanceof api.MappedRamError;
      t.true(isOurs, `${name}(${list.map((item) => typeof item).join(', ')}): ${String(error)}`);
    }
  }
  // Rejections that nobody awaits are reported a turn later.
  await new Promise((resolve) => setTimeout(resolve, 10));
  process.off('unhandledRejection', listen);
  t.deepEqual(loose, []);
  t.true(promises > 500, `${promises} calls`);
});

/** A call may have worked: `{ fresh: [5] }` is wrong, `{ fresh: null }` may not be. */
async function closeResult(result: unknown): Promise<undefined> {
  const close: unknown = Object(result)['close'];
  if (typeof close === 'function') await Reflect.apply(close, result, []);
}

async function call(name: string, ...list: readonly unknown[]): Promise<unknown> {
  return Reflect.apply(Object(api)[name], undefined, list);
}

test('the errors name the argument', async (t) => {
  const wrong = { code: 'ERR_MAPPED_RAM_INVALID_ARGUMENT' };
  await t.throwsAsync(call('attach', {}), { ...wrong, message: /connection to QEMU.*QmpClient/ });
  await t.throwsAsync(call('planSave'), { ...wrong, message: /connection to QEMU/ });
  await t.throwsAsync(call('restore', '/x'), { ...wrong, message: /options.*an object.*undefined/ });
  await t.throwsAsync(call('restore', '/x', { args: [5] }), { ...wrong, message: /args.*an array of texts/ });
  await t.throwsAsync(call('verify', '/x', { signal: 5 }), { ...wrong, message: /signal.*AbortSignal/ });
});

test('options of a connection that are none are called so', async (t) => {
  for (const options of [null, 5, []]) {
    for (const server of ['/x', new QmpPeer().stream]) {
      const connecting = async (): Promise<unknown> =>
        Reflect.apply(Object(api.QmpClient)['connect'], api.QmpClient, [server, options]);
      await t.throwsAsync(connecting, { code: 'ERR_MAPPED_RAM_INVALID_ARGUMENT', message: /options/ });
    }
  }
});
