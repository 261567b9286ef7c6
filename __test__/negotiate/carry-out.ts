import { applyPlan } from '../../ts/negotiate/apply-plan.ts';
import { giveFile } from '../../ts/qemu/given-file.ts';
import type { MigrationInfo } from '../../ts/qemu/migration-info.ts';
import { migrateIn, migrateOut, type MigrationRunOptions } from '../../ts/qemu/migration.ts';
import { negotiate } from '../../ts/negotiate/negotiate.ts';
import type { Plan } from '../../ts/negotiate/plan.ts';
import type { RestoreRequest, SaveRequest } from '../../ts/negotiate/request.ts';
import type { QmpClient } from '../../ts/qmp/client.ts';

/** Lets QEMU save or restore as a plan says, and takes back what the plan changed. */
export async function carryOut(
  qmp: QmpClient,
  plan: Plan,
  options: MigrationRunOptions = {},
): Promise<MigrationInfo> {
  const { address, path, offset } = plan.target;
  const migrate = plan.direction === 'save' ? migrateOut : migrateIn;
  const applied = await applyPlan(qmp, plan);
  try {
    if (!plan.fdset.value || path === undefined) return await migrate(qmp, address, options);
    const access = plan.direction === 'save' ? 'write' : 'read';
    const file = { path, offset, access, direct: plan.directIo.value } as const;
    await using given = await giveFile(qmp, plan.qemu.features, true, file);
    // `return await` keeps the file open: without its descriptors QEMU would not survive the beginning of a save.
    return await migrate(qmp, given.address, options);
  } finally {
    await applied.putBack();
  }
}

/** Negotiates a plan, and carries it out. */
export async function run(qmp: QmpClient, request: SaveRequest | RestoreRequest): Promise<Plan> {
  const plan = await negotiate(qmp, request);
  await carryOut(qmp, plan);
  return plan;
}

/** All capabilities and parameters of a QEMU. */
export async function settings(qmp: QmpClient): Promise<unknown> {
  return {
    capabilities: await qmp.execute('query-migrate-capabilities'),
    parameters: await qmp.execute('query-migrate-parameters'),
  };
}

/** Turns capabilities on, as another client of QEMU would. */
export async function setCapabilities(qmp: QmpClient, ...names: readonly string[]): Promise<void> {
  const capabilities = names.map((capability) => ({ capability, state: true }));
  await qmp.execute('migrate-set-capabilities', { capabilities });
}
