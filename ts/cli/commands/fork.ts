import { constants } from 'node:os';

import type { Fork } from '../../fork/forked-guest.ts';
import { SWITCHES } from '../../negotiate/request.ts';
import { QmpClient } from '../../qmp/client.ts';
import type { QemuExit } from '../../qemu/process/qemu-process.ts';
import { AFTER_RESTORE } from '../../restore/run-state.ts';
import { type Command, defineCommand } from '../command.ts';
import { UsageError } from '../exit-codes.ts';
import { Interrupted } from '../interrupted.ts';
import { choice, type OptionDefs } from '../options/option-def.ts';
import { forkLines, forkReport } from '../render/clones/fork.ts';
import type { Session } from '../session.ts';

/** Stands for the clone's number in a command line. */
const NUMBER = '{n}';

const args = {
  qmp: {
    type: 'positional',
    required: true,
    description: "The QMP server of the guest's QEMU: a path, unix:PATH or tcp:HOST:PORT",
  },
  qemu: {
    type: 'positional',
    required: true,
    repeatable: true,
    description: `After --: the QEMU command line of a clone, as that of the guest; ${NUMBER} in it is the clone's number, from 0 on`,
  },
  clones: {
    type: 'string',
    alias: 'n',
    valueHint: 'N',
    description: 'How many clones, 1 to 256 (default: 1)',
  },
  after: {
    ...choice(...AFTER_RESTORE),
    description: 'What the clones do afterwards (default: cont; with -S stop)',
  },
  fdset: {
    ...choice(...SWITCHES),
    description: 'Whether the QEMUs of the clones get descriptors instead of paths (default: auto)',
  },
  guard: {
    ...choice(...SWITCHES),
    description:
      'Whether a process beside this one lets the guest go on if this one is killed (default: auto, where it can)',
  },
} as const satisfies OptionDefs;
type ForkSession = Session<typeof args>;

export const fork: Command = defineCommand({
  name: 'fork',
  description:
    'Fork a running guest: after one short pause the guest goes on, and so do N clones, each in a QEMU of its own, which is started with the command line that follows. Disks are not forked: each clone needs its own, or none. The command ends when all clones have ended; stopping it ends them.',
  args,
  examples: [
    'mapped-ram fork /run/guest.qmp -n 4 -- qemu-system-x86_64 -machine q35 -m 2G -name clone-{n}',
    'mapped-ram fork /run/guest.qmp -- qemu-system-x86_64 -machine q35 -m 2G',
  ],
  run: async (session) => {
    const { line, signal } = session;
    const [binary = '', ...words] = line.values('qemu');
    const n = countOf(line.value('clones') ?? '1');
    const api = await import('../../fork/fork.ts');
    // The one object of --json has stdout to itself. No two QEMUs can share a standard input.
    const stdout = line.flag('json') ? 2 : 1;
    await using forked = await forkOver(line.value('qmp'), signal, (qmp) =>
      api.fork(qmp, n, {
        binary,
        args: (index) => words.map((word) => word.replaceAll(NUMBER, String(index))),
        after: line.value('after'),
        fdset: line.value('fdset'),
        guard: line.value('guard'),
        stdio: ['ignore', stdout, 2],
        signal,
      }),
    );
    say(session, forked);
    process.exitCode = await exitStatus(forked, signal);
  },
});

/** The guest's own connection is of no use once the clones are there: somebody else may want it. */
async function forkOver(
  server: string,
  signal: AbortSignal,
  work: (qmp: QmpClient) => Promise<Fork>,
): Promise<Fork> {
  await using qmp = await QmpClient.connect(server, { signal });
  // The connection is open until the work, which is awaited here, has ended.
  return await work(qmp);
}

function countOf(text: string): number {
  if (/^[1-9]\d{0,8}$/.test(text)) return Number(text);
  throw new UsageError(`--clones must be a whole number, at least 1, not '${text}'`);
}

/** Prints the report beside stdout, which belongs to QEMU's own words. */
function say(session: ForkSession, forked: Fork): void {
  const report = forkReport(forked);
  if (session.line.flag('json')) session.print(report, () => []);
  else session.note((style) => forkLines(report, style).join('\n'));
}

/** Waits until all clones have ended, by themselves or because a signal has told this process to stop. */
async function exitStatus(forked: Fork, signal: AbortSignal): Promise<number> {
  const stop = (): void => {
    void forked[Symbol.asyncDispose]();
  };
  if (signal.aborted) stop();
  else signal.addEventListener('abort', stop, { once: true });
  const exits = await Promise.all(forked.guests.map(({ qemu }) => qemu.exited));
  signal.removeEventListener('abort', stop);
  if (signal.reason instanceof Interrupted) return signal.reason.exitCode;
  return Math.max(...exits.map((exit) => statusOf(exit)));
}

function statusOf({ code, signal }: QemuExit): number {
  if (code !== null) return code;
  return signal === null ? 1 : 128 + constants.signals[signal];
}
