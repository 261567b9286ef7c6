import { constants } from 'node:os';

import { MappedRamError, messageOf } from '../../errors.ts';
import type { QemuExit, QemuProcess } from '../../qemu/process/qemu-process.ts';
import { QmpClient } from '../../qmp/client.ts';
import type { AttachOptions } from '../../restore/examine.ts';
import type { Mode } from '../../restore/modes/mode.ts';
import { SWITCHES } from '../../negotiate/request.ts';
import { AFTER_RESTORE } from '../../restore/run-state.ts';
import { DEFAULT_MODE, modeMeantBy, MODE_NAMES, MODES, type RestoreMode } from '../../restore/modes/modes.ts';
import type { RestoredGuest, RestoreOptions } from '../../restore/restore.ts';
import { defineCommand, type Command } from '../command.ts';
import { UsageError } from '../exit-codes.ts';
import { Interrupted, untilStopped } from '../interrupted.ts';
import { BASE_OPTION, sourceWithBase } from '../options/base-option.ts';
import { choice, type OptionDefs } from '../options/option-def.ts';
import { postcopyOptions, MEMORY_OPTION, memoryKind, PUSH_OPTIONS } from '../options/postcopy-options.ts';
import { TRANSFER_OPTIONS, transferOptions } from '../options/transfer-options.ts';
import { printable } from '../render/format.ts';
import { withBar } from '../render/progress-bar.ts';
import { memoryWords, reportOf, restoreLines } from '../render/clones/restore.ts';
import type { Session } from '../session.ts';

/** Limit in milliseconds for a QEMU that was asked to quit; it is killed after that. */
const QUIT_MS = 10_000;

/** Codes of errors that say no more than that QEMU has ended. */
const ENDED: ReadonlySet<string> = new Set(['ERR_MAPPED_RAM_CLOSED', 'ERR_MAPPED_RAM_QEMU']);

/** The modes that are taken when the caller names none, in words. */
const DEFAULTS = `default: ${DEFAULT_MODE}, or the first one that QEMU has; with --qmp ${modeMeantBy(['a block']).name} if QEMU maps the snapshot, else ${modeMeantBy([]).name}`;

const args = {
  uri: {
    type: 'positional',
    required: true,
    description: 'The snapshot: a path, or file:PATH[,offset=SIZE]',
  },
  qemu: {
    type: 'positional',
    required: false,
    repeatable: true,
    description: "After --: the guest's QEMU command line, as for a fresh start",
  },
  mode: {
    ...choice(...MODE_NAMES),
    description: `${MODES.map(({ name, summary }) => `${name} ${summary}`).join(', ')} (${DEFAULTS})`,
  },
  qmp: {
    type: 'string',
    valueHint: 'socket',
    description: 'QMP of a QEMU that waits: a path, unix:PATH or tcp:HOST:PORT',
  },
  after: {
    ...choice(...AFTER_RESTORE),
    description: 'What the guest does afterwards (default: cont; with -S stop)',
  },
  ...BASE_OPTION,
  'ram-dir': {
    type: 'string',
    valueHint: 'directory',
    description:
      'Where preload keeps the memory: tmpfs or hugetlbfs (default: /dev/shm, or memory without a directory where that is missing or read-only)',
  },
  'working-set': {
    type: 'string',
    valueHint: 'auto|off|file',
    description:
      'The working set that instant and lazy read ahead while QEMU starts, and that lazy brings first: the one beside the snapshot if there is one, none, or that in a file (default: auto)',
  },
  fdset: {
    ...choice(...SWITCHES),
    description: 'Whether QEMU gets descriptors instead of paths (default: auto)',
  },
  ...PUSH_OPTIONS,
  ...MEMORY_OPTION,
  ...TRANSFER_OPTIONS,
} as const satisfies OptionDefs;
type RestoreSession = Session<typeof args>;
type Line = RestoreSession['line'];

export const restore: Command = defineCommand({
  name: 'restore',
  description:
    'Let a guest go on where its snapshot was taken. With -- it starts the QEMU command line that follows, adds what the mode needs, hands stdin, stdout and stderr through, and exits as QEMU does; with --qmp it talks to a QEMU that was started with -incoming defer.',
  args,
  examples: [
    'mapped-ram restore guest.mr -- qemu-system-x86_64 -machine q35 -m 2G',
    'mapped-ram restore guest.mr --qmp /run/guest.qmp --after stop',
  ],
  run: async (session) => {
    const { line } = session;
    const [binary, ...qemuArgs] = line.values('qemu');
    const server = line.value('qmp');
    if ((binary === undefined) === (server === undefined)) {
      throw new UsageError('say which QEMU: --qmp <socket>, or -- and its command line');
    }
    if (server !== undefined) await attachTo(session, server);
    else if (binary !== undefined) await start(session, binary, qemuArgs);
  },
});

type Choices = Pick<AttachOptions, 'mode' | 'after' | 'fdset' | 'postcopy'>;

function choices(line: Line): Choices {
  return {
    mode: line.value('mode'),
    after: line.value('after'),
    fdset: line.value('fdset'),
    postcopy: postcopyOptions(line),
  };
}

function modeOn(line: Line): Mode<RestoreMode> | undefined {
  return MODES.find(({ name }) => name === line.value('mode'));
}

/**
 * Gives the options for moving pages to our engine where the mode has it read, else to QEMU, as far as QEMU has them.
 */
function forWhom(line: Line): Pick<RestoreOptions, 'channels' | 'directIo' | 'transfer'> {
  const { channels, directIo, ...engineOnly } = transferOptions(line);
  return modeOn(line)?.options.includes('transfer') === true
    ? { transfer: { channels, directIo, ...engineOnly } }
    : { channels, directIo, transfer: engineOnly };
}

/** A file whose name is one of the words is `./auto`, `./off`. */
function workingSetOf(line: Line): RestoreOptions['workingSet'] {
  const value = line.value('working-set');
  return value === undefined || value === 'auto' || value === 'off' ? value : { path: value };
}

async function attachTo(session: RestoreSession, server: string): Promise<void> {
  const { line, signal } = session;
  const mode = modeOn(line);
  if (mode?.fillsMemoryFirst === true) {
    throw new UsageError(
      `--mode ${mode.name} fills the memory before QEMU starts: give its command line after --`,
    );
  }
  const engineOnly = (
    ['ram-dir', 'working-set', 'memory', 'io-engine', 'queue-depth', 'request-size'] as const
  ).filter((name) => line.value(name) !== undefined);
  if (engineOnly.length > 0) {
    throw new UsageError(
      `with --qmp QEMU has the memory, or reads it itself: leave out ${engineOnly.map((name) => `--${name}`).join(', ')}`,
    );
  }
  const { channels, directIo } = forWhom(line);
  const api = await import('../../restore/attach.ts');
  await using qmp = await QmpClient.connect(server, { signal, oob: mode?.outOfBand });
  const result = await api.attach(qmp, sourceWithBase(line, line.value('uri')), {
    ...choices(line),
    channels,
    directIo,
    signal,
  });
  session.print(reportOf(result), (style) => restoreLines(reportOf(result), style));
  if (result.memory === undefined) return;
  // A command that is told to stop leaves the memory to its server.
  const end = await Promise.race([result.memory.complete, untilStopped(signal)]);
  if (end === undefined) await result.memory.release();
  else session.note(() => memoryWords(end));
}

async function start(session: RestoreSession, binary: string, qemuArgs: readonly string[]): Promise<void> {
  const { line, signal } = session;
  const moving = forWhom(line);
  const api = await import('../../restore/restore.ts');
  // The one object of --json has stdout to itself.
  const stdout = line.flag('json') ? 2 : 1;
  await using guest = await withBar(session, 'loading', (onProgress) =>
    api.restore(sourceWithBase(line, line.value('uri')), {
      ...choices(line),
      ...moving,
      binary,
      args: qemuArgs,
      ramDirectory: line.value('ram-dir'),
      workingSet: workingSetOf(line),
      memory: memoryKind(line),
      transfer: { ...moving.transfer, onProgress },
      stdio: [0, stdout, 2],
      signal,
    }),
  );
  say(session, guest);
  void guest.memory?.complete.then(
    (report) => session.note(() => memoryWords(report)),
    (error: unknown) => {
      // A guest that ends needs no memory.
      if (error instanceof MappedRamError && ENDED.has(error.code)) return;
      session.note((style) => `${style('yellow', 'warning:')} ${printable(messageOf(error))}`);
    },
  );
  process.exitCode = await exitStatus(guest.qemu, signal);
}

/** Prints the report beside stdout, which belongs to QEMU's own words. */
function say(session: RestoreSession, guest: RestoredGuest): void {
  const { times, transfer, workingSet } = guest;
  const ahead = workingSet && {
    path: workingSet.path,
    bytes: workingSet.bytes,
    cachedShare: workingSet.cachedShare,
  };
  const report = { ...reportOf(guest), times, transfer, workingSet: ahead };
  if (session.line.flag('json')) session.print(report, () => []);
  else session.note((style) => restoreLines(report, style).join('\n'));
}

/** Waits until QEMU ends, by itself or because a signal has told this process to stop. */
async function exitStatus(qemu: QemuProcess, signal: AbortSignal): Promise<number> {
  const stop = (): void => {
    void qemu.quit({ timeoutMs: QUIT_MS }).catch(() => qemu.close());
  };
  if (signal.aborted) stop();
  else signal.addEventListener('abort', stop, { once: true });
  const exit = await qemu.exited;
  signal.removeEventListener('abort', stop);
  if (signal.reason instanceof Interrupted) return signal.reason.exitCode;
  return statusOf(exit);
}

function statusOf({ code, signal }: QemuExit): number {
  if (code !== null) return code;
  return signal === null ? 1 : 128 + constants.signals[signal];
}
