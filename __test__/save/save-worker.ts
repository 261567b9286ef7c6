/** A process that saves a guest on demand and says how far it is, for a test that kills it meanwhile. */
import { save, type SaveOptions } from '../../ts/index.ts';
import { QmpClient } from '../../ts/qmp/client.ts';

export interface SaveOrder {
  readonly server: string;
  readonly target: string;
  readonly options: SaveOptions;
}

const say = (words: string): void => {
  process.send?.(words);
};

async function carryOut({ server, target, options }: SaveOrder): Promise<void> {
  await using qmp = await QmpClient.connect(server);
  say('begin');
  await save(qmp, target, { ...options, onProgress: ({ step }) => say(step) });
  say('end');
  process.disconnect();
}

process.once('message', (order: SaveOrder) => {
  void carryOut(order);
});
say('ready');
