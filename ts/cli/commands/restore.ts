import { constants } from 'node:os';

import { QmpClient } from '../../qmp/client.ts';
import type { QemuExit, QemuProcess } from '../../qemu/qemu-process.ts';
import type { Mode } from '../../restore/modes/mode.ts';
import { MODES, type RestoreMode } from '../../restore/modes/modes.ts';
import type { AttachOptions } from '../../restore/attach.ts';
import type { AfterRestore } from '../../restore/run-state.ts';
import type { RestoredGuest, RestoreOptions } from '../../restore/restore.ts';
import type { CommandLine } from '../options/command-line.ts';
import { sessionOf, type Command } from '../command.ts';
import { OUTPUT_OPTIONS, TRANSFER_OPTIONS, transferOptions } from '../options/transfer-options.ts';
import { Interrupted } from '../interrupted.ts';
import { reportOf, restoreLines } from '../render/restore.ts';
import type { Session } from '../session.ts';
import { UsageError } from '../usage-error.ts';

const AFTER: readonly AfterRestore[] = ['cont', 'stop', 'as-saved'];
const SWITCHES = ['auto', 'on', 'off'] as const;
/** How long a QEMU that was asked to quit may take before it is killed. */
const QUIT_MS = 10_000;

export const restore: Command = {
  meta: {
    name: 'restore',
    description:
      'Let a guest go on where its snapshot was taken. With -- it starts the QEMU command line that follows, adds what the mode needs, hands stdin, stdout and stderr through, and exits as QEMU does; with --qmp it talks to a QEMU that was started with -incoming defer.',
  },
  args: {
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
      type: 'enum',
      options: MODES.map(({ name }) => name),
      description: `${MODES.map(({ name, summary }) => `${name} ${summary}`).join(', ')} (default: instant; with --qmp instant if QEMU maps the snapshot, else eager)`,
    },
    qmp: {
      type: 'string',
      valueHint: 'socket',
      description: 'QMP of a QEMU that waits: a path, unix:PATH or tcp:HOST:PORT',
    },
    after: {
      type: 'enum',
      options: [...AFTER],
      description: 'What the guest does afterwards (default: cont; with -S stop)',
    },
    'ram-dir': {
      type: 'string',
      valueHint: 'directory',
      description: 'Where preload keeps the memory: tmpfs or hugetlbfs (default: /dev/shm)',
    },
    fdset: {
      type: 'enum',
      options: [...SWITCHES],
      description: 'Whether QEMU gets descriptors instead of paths (default: auto)',
    },
    ...TRANSFER_OPTIONS,
    ...OUTPUT_OPTIONS,
  },
  examples: [
    'mapped-ram restore guest.mr -- qemu-system-x86_64 -machine q35 -m 2G',
    'mapped-ram restore guest.mr --qmp /run/guest.qmp --after stop',
  ],
  run: async (context) => {
    const session = sessionOf(context);
    const { line } = session;
    const [binary, ...args] = line.values('qemu');
    const server = line.value('qmp');
    if ((binary === undefined) === (server === undefined)) {
      throw new UsageError('say which QEMU: --qmp <socket>, or -- and its command line');
    }
    if (server !== undefined) await attachTo(session, server);
    else if (binary !== undefined) await start(session, binary, args);
  },
};

type Choices = Pick<AttachOptions, 'mode' | 'after' | 'fdset'>;

function choices(line: CommandLine): Choices {
  return {
    mode: modeOn(line)?.name,
    after: AFTER.find((after) => after === line.value('after')),
    fdset: SWITCHES.find((choice) => choice === line.value('fdset')),
  };
}

function modeOn(line: CommandLine): Mode<RestoreMode> | undefined {
  return MODES.find(({ name }) => name === line.value('mode'));
}

/** Who is told what of the options for moving pages: our engine where the mode has it read, else QEMU, as far as it knows them. */
function forWhom(line: CommandLine): Pick<RestoreOptions, 'channels' | 'directIo' | 'transfer'> {
  const { channels, directIo, ...engineOnly } = transferOptions(line);
  return modeOn(line)?.options.includes('transfer') === true
    ? { transfer: { channels, directIo, ...engineOnly } }
    : { channels, directIo, transfer: engineOnly };
}

async function attachTo(session: Session, server: string): Promise<void> {
  const { line, signal } = session;
  const mode = modeOn(line);
  if (mode?.fillsMemoryFirst === true) {
    throw new UsageError(
      `--mode ${mode.name} fills the memory before QEMU starts: give its command line after --`,
    );
  }
  const engineOnly = ['ram-dir', 'engine', 'queue-depth', 'request-size'].filter(
    (name) => line.value(name) !== undefined,
  );
  if (engineOnly.length > 0) {
    throw new UsageError(
      `with --qmp QEMU has the memory, or reads it itself: leave out ${engineOnly.map((name) => `--${name}`).join(', ')}`,
    );
  }
  const { channels, directIo } = forWhom(line);
  const api = await import('../../restore/attach.ts');
  await using qmp = await QmpClient.connect(server, { signal });
  const result = await api.attach(qmp, line.required('uri'), {
    ...choices(line),
    channels,
    directIo,
    signal,
  });
  session.print(reportOf(result), (style) => restoreLines(reportOf(result), style));
}

async function start(session: Session, binary: string, args: readonly string[]): Promise<void> {
  const { line, signal } = session;
  const moving = forWhom(line);
  const api = await import('../../restore/restore.ts');
  using bar = session.progressBar('loading');
  // With --json stdout is for the one object.
  const stdout = line.flag('json') ? 2 : 1;
  await using guest = await api.restore(line.required('uri'), {
    ...choices(line),
    ...moving,
    binary,
    args,
    ramDirectory: line.value('ram-dir'),
    transfer: { ...moving.transfer, onProgress: bar.update },
    stdio: [0, stdout, 2],
    signal,
  });
  bar[Symbol.dispose]();
  say(session, guest);
  process.exitCode = await exitStatus(guest.qemu, signal);
}

/** QEMU's own words have stdout, so what is to be said goes beside it. */
function say(session: Session, guest: RestoredGuest): void {
  const report = { ...reportOf(guest), times: guest.times, transfer: guest.transfer };
  if (session.line.flag('json')) session.print(report, () => []);
  else session.note((style) => restoreLines(report, style).join('\n'));
}

/** Waits for QEMU to end, by itself or because we are told to. */
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
