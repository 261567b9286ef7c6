/** A process that saves a guest, and tells how that went, for a test that starts it with rights of its own. */
import { MappedRamError, save } from '../../ts/index.ts';
import { QmpClient } from '../../ts/qmp/client.ts';
import type { SaveOrder } from './save-worker.ts';

/** The outcome of a save, or its refusal. */
export interface RightsOutcome {
  readonly writer?: string;
  readonly writerWhy?: string;
  readonly form?: string | undefined;
  readonly code?: string;
  readonly rule?: string | undefined;
  readonly message?: string;
}

async function carryOut({ server, target, options }: SaveOrder): Promise<RightsOutcome> {
  try {
    await using qmp = await QmpClient.connect(server);
    const { writer, writerWhy, capture } = await save(qmp, target, options);
    return { writer, writerWhy, form: capture?.form };
  } catch (error) {
    if (!(error instanceof MappedRamError)) throw error;
    const { code, rule, message } = error;
    return { code, rule: rule?.rule, message };
  }
}

process.once('message', (order: SaveOrder) => {
  void (async (): Promise<void> => {
    process.send?.(await carryOut(order));
    process.disconnect();
  })();
});
