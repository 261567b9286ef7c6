import type { Switch, ZeroPageDetection } from '../../negotiate/request.ts';
import { QmpClient } from '../../qmp/client.ts';
import type { AfterSave, SaveOptions, SaveProgress } from '../../save/save-options.ts';
import type { CommandLine } from '../options/command-line.ts';
import { sessionOf, type Command } from '../command.ts';
import { OUTPUT_OPTIONS, TRANSFER_OPTIONS, transferOptions } from '../options/transfer-options.ts';
import { parseSize } from '../options/parse-size.ts';
import { SEAL_OPTIONS, sealOptions } from '../options/seal-options.ts';
import { planLines, planReport } from '../render/plan.ts';
import type { ProgressBar } from '../render/progress-bar.ts';
import { saveLines, saveReport } from '../render/save.ts';

const WRITERS = ['auto', 'qemu', 'engine'] as const;
const AFTER: readonly AfterSave[] = ['cont', 'stop', 'quit'];
const SWITCHES: readonly Switch[] = ['auto', 'on', 'off'];
const ZERO_PAGES: readonly (ZeroPageDetection | 'auto')[] = ['auto', 'none', 'legacy', 'multifd'];
const NEGOTIATED = 'What QEMU is told';

export const save: Command = {
  meta: {
    name: 'save',
    description:
      'Save a guest of a running QEMU. It works out how, stops the guest, saves it, checks the file, and lets the guest go on; the snapshot appears under its name when it is complete and on the disk, not before.',
  },
  args: {
    qmp: {
      type: 'positional',
      required: true,
      description: "QEMU's QMP server: a path, unix:PATH or tcp:HOST:PORT",
    },
    uri: {
      type: 'positional',
      required: true,
      description:
        'Where the snapshot goes: a path, or file:PATH[,offset=SIZE]; with --mapped-ram off any migration URI',
    },
    writer: {
      type: 'enum',
      options: [...WRITERS],
      description:
        'Who writes the memory: QEMU, or the engine out of the files in which QEMU shares it (default: auto, the engine where it can)',
    },
    after: {
      type: 'enum',
      options: [...AFTER],
      description: 'What the guest does afterwards (default: go on if it ran, else stay stopped)',
    },
    'dry-run': { type: 'boolean', description: 'Show what would be done, and why; change nothing' },
    force: { type: 'boolean', description: 'Replace an existing file' },
    ...SEAL_OPTIONS,
    guard: {
      type: 'enum',
      options: [...SWITCHES],
      description:
        'Whether a process beside this one lets the guest go on if this one is killed (default: auto, where it can)',
    },
    'mapped-ram': switchOption('The mapped-ram format; off is a plain stream'),
    multifd: switchOption('Several channels of QEMU'),
    fdset: switchOption('Whether QEMU gets descriptors instead of the path'),
    'x-ignore-shared': switchOption('Leave memory that QEMU shares in files out of the snapshot'),
    'zero-page-detection': {
      type: 'enum',
      options: [...ZERO_PAGES],
      description: 'How QEMU looks for zero pages; none stores them (default: auto)',
      group: NEGOTIATED,
    },
    'max-bandwidth': {
      type: 'string',
      valueHint: 'S',
      description: 'Bytes per second that QEMU may write; 0 for no limit (default: 0)',
      group: NEGOTIATED,
    },
    ...TRANSFER_OPTIONS,
    ...OUTPUT_OPTIONS,
  },
  examples: [
    'mapped-ram save /run/guest.qmp guest.mr',
    'mapped-ram save /run/guest.qmp guest.mr --after quit --writer engine',
    'mapped-ram save /run/guest.qmp guest.mr --dry-run',
  ],
  run: async (context) => {
    const session = sessionOf(context);
    const { line, signal } = session;
    const target = line.required('uri');
    const options = saveOptions(line);
    const api = await import('../../save/save.ts');
    await using qmp = await QmpClient.connect(line.required('qmp'), { signal });
    if (line.flag('dry-run')) {
      const plan = await api.planSave(qmp, target, { ...options, signal });
      session.print(planReport(plan), (style) => planLines(plan, style));
      return;
    }
    using bar = session.progressBar('saving');
    const result = await api.save(qmp, target, { ...options, signal, onProgress: showOn(bar) });
    bar[Symbol.dispose]();
    session.print(saveReport(result), (style) => saveLines(result, style));
  },
};

function switchOption(description: string): NonNullable<Command['args']>[string] {
  return {
    type: 'enum',
    options: [...SWITCHES],
    description: `${description} (default: auto)`,
    group: NEGOTIATED,
  };
}

function saveOptions(line: CommandLine): SaveOptions {
  const choice = (name: string): Switch | undefined => SWITCHES.find((value) => value === line.value(name));
  const bandwidth = line.value('max-bandwidth');
  return {
    writer: WRITERS.find((writer) => writer === line.value('writer')),
    after: AFTER.find((after) => after === line.value('after')),
    overwrite: line.flag('force'),
    ...sealOptions(line),
    guard: choice('guard'),
    mappedRam: choice('mapped-ram'),
    multifd: choice('multifd'),
    fdset: choice('fdset'),
    xIgnoreShared: choice('x-ignore-shared'),
    zeroPageDetection: ZERO_PAGES.find((value) => value === line.value('zero-page-detection')),
    maxBandwidth: bandwidth === undefined ? undefined : parseSize('--max-bandwidth', bandwidth),
    ...transferOptions(line),
  };
}

/** Until it is known how much there is, there is nothing to show. */
function showOn(bar: ProgressBar): (progress: SaveProgress) => void {
  return (progress) => {
    if (progress.bytesTotal > 0) bar.update(progress);
  };
}
