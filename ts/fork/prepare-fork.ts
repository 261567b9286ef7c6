import { availableParallelism } from 'node:os';

import { disposeAfter } from '../host/dispose-all.ts';
import { assertClient } from '../qmp/assert-client.ts';
import type { QmpClient } from '../qmp/client.ts';
import { argsOf } from '../pool/pool-options.ts';
import { refuseSharedDisks } from '../pool/shared-disks.ts';
import { askDefaultRam } from '../restore/command-line/ask-default-ram.ts';
import { LaunchPlan } from '../restore/command-line/launch-plan.ts';
import { parseCommandLine } from '../restore/command-line/options.ts';
import { startGuardEarly } from '../save/guard.ts';
import { forAllClones } from './all-clones.ts';
import { type CheckedForkOptions, checkForkOptions, type ForkOptions } from './fork-options.ts';
import { type CloneLine, FORK_MODE, ForkSlot } from './fork-slot.ts';
import { ForkSlots } from './fork-slots.ts';
import { FORKED, ForkSource } from './fork-source.ts';

/**
 * Starts the QEMUs of a fork beforehand: `fork` of the result then takes a tenth of a second. Options, command lines and
 * QEMUs are checked against the running guest, which goes on undisturbed. When this rejects, no process, file or
 * descriptor is left.
 *
 * @param qmp a connection to the QEMU whose guest is to be forked. It stays the caller's
 * @param n the number of clones, 1 to 256
 * @throws {MappedRamError} as `fork`, except for errors of the fork itself
 */
export async function prepareFork(qmp: QmpClient, n: number, options: ForkOptions): Promise<ForkSlots> {
  assertClient(qmp);
  const checked = checkForkOptions(n, options);
  const { signal } = checked;
  signal?.throwIfAborted();
  const lines = await commandLines(checked);
  const source = await ForkSource.open(qmp, checked);
  let guard: AsyncDisposable | undefined;
  try {
    const clones = await checkAgainst(source, lines, checked);
    guard = await startGuardEarly(qmp, checked.guard ?? 'auto', { signal });
    const slots = await forAllClones(
      clones,
      (clone, either) => ForkSlot.start(source, clone, checked, either),
      { signal, most: availableParallelism(), undo: (slot) => slot.close() },
    );
    return new ForkSlots(source, slots, guard, checked);
  } catch (error) {
    throw await disposeAfter(error, [source, guard]);
  }
}

type ParsedLine = Omit<CloneLine, 'defaultRam'>;

/** Asks for all command lines, and refuses disks that two clones would write to. */
async function commandLines(options: CheckedForkOptions): Promise<readonly ParsedLine[]> {
  const lines: ParsedLine[] = [];
  for (let index = 0; index < options.count; index += 1) {
    const args = await argsOf(options, index);
    options.signal?.throwIfAborted();
    lines.push({ index, args, commandLine: parseCommandLine(args) });
  }
  refuseSharedDisks(
    lines.map(({ commandLine }) => commandLine),
    'two clones of the fork',
  );
  return lines;
}

/** Compares every command line with the source, before the first QEMU is started. */
async function checkAgainst(
  { mapped }: ForkSource,
  lines: readonly ParsedLine[],
  options: CheckedForkOptions,
): Promise<readonly CloneLine[]> {
  const [first] = lines;
  const id = first && (await askDefaultRam(mapped, FORK_MODE, first.commandLine, options));
  await forAllClones(
    lines,
    async ({ commandLine }) =>
      new LaunchPlan(mapped, FORK_MODE, commandLine, { defaultRam: id, whose: FORKED }),
    { signal: options.signal },
  );
  return lines.map((line) => ({ ...line, defaultRam: { id } }));
}
