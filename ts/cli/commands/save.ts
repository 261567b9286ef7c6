import { SWITCHES, WRITERS, ZERO_PAGE_DETECTIONS, type Switch } from '../../negotiate/request.ts';
import { QmpClient } from '../../qmp/client.ts';
import { AFTER_SAVE } from '../../negotiate/request.ts';
import type { SaveOptions } from '../../save/save-options.ts';
import { defineCommand, type Command } from '../command.ts';
import { CAPTURE_OPTIONS, captureOptions } from '../options/capture-options.ts';
import { choice, type WordOption, type OptionDef, type OptionDefs } from '../options/option-def.ts';
import { LIVE_OPTIONS, liveOptions } from '../options/live-options.ts';
import { parseSize } from '../options/parse-size.ts';
import { SEAL_OPTIONS, sealOptions } from '../options/seal-options.ts';
import { TRANSFER_OPTIONS, transferOptions } from '../options/transfer-options.ts';
import { planLines, planReport } from '../render/plan.ts';
import { withBar } from '../render/progress-bar.ts';
import { saveLines, saveReport } from '../render/save.ts';
import type { Session } from '../session.ts';

const SWITCH: WordOption<Switch> = choice(...SWITCHES);
const NEGOTIATED = 'What QEMU is told';

const args = {
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
    ...choice('auto', ...WRITERS),
    description:
      "Who writes the memory: QEMU, or the engine out of QEMU's process or of the files in which QEMU shares it (default: auto, the engine where it can)",
  },
  after: {
    ...choice(...AFTER_SAVE),
    description: 'What the guest does afterwards (default: go on if it ran, else stay stopped)',
  },
  'dry-run': { type: 'boolean', description: 'Show what would be done, and why; change nothing' },
  force: { type: 'boolean', description: 'Replace an existing file' },
  ...SEAL_OPTIONS,
  guard: {
    ...SWITCH,
    description:
      'Whether a process beside this one lets the guest go on if this one is killed (default: auto, where it can)',
  },
  'mapped-ram': switchOption('The mapped-ram format; off is a plain stream'),
  multifd: switchOption('Several channels of QEMU'),
  fdset: switchOption('Whether QEMU gets descriptors instead of the path'),
  'x-ignore-shared': switchOption('Leave memory that QEMU shares in files out of the snapshot'),
  'zero-page-detection': {
    ...choice('auto', ...ZERO_PAGE_DETECTIONS),
    description: 'How QEMU looks for zero pages; none stores them (default: auto)',
    group: NEGOTIATED,
  },
  'max-bandwidth': {
    type: 'string',
    valueHint: 'S',
    description: 'Bytes per second that QEMU may write; 0 for no limit (default: 0)',
    group: NEGOTIATED,
  },
  ...CAPTURE_OPTIONS,
  ...LIVE_OPTIONS,
  ...TRANSFER_OPTIONS,
} as const satisfies OptionDefs;
type Line = Session<typeof args>['line'];

export const save: Command = defineCommand({
  name: 'save',
  description:
    'Save a guest of a running QEMU. It works out how, stops the guest, saves it, checks the file, and lets the guest go on; the snapshot appears under its name when it is complete and on the disk, not before.',
  args,
  examples: [
    'mapped-ram save /run/guest.qmp guest.mr',
    'mapped-ram save /run/guest.qmp guest.mr --after quit --writer engine',
    'mapped-ram save /run/clone.qmp later.mr --incremental',
    'mapped-ram save /run/guest.qmp guest.mr --live on --downtime-limit 50',
    'mapped-ram save /run/guest.qmp guest.mr --dry-run',
  ],
  run: async (session) => {
    const { line, signal } = session;
    const target = line.value('uri');
    const options = saveOptions(line);
    const api = await import('../../save/save.ts');
    await using qmp = await QmpClient.connect(line.value('qmp'), { signal });
    if (line.flag('dry-run')) {
      const plan = await api.planSave(qmp, target, { ...options, signal });
      session.print(planReport(plan), (style) => planLines(plan, style));
      return;
    }
    const result = await withBar(session, 'saving', (onProgress) =>
      api.save(qmp, target, { ...options, signal, onProgress }),
    );
    session.print(saveReport(result), (style) => saveLines(result, style));
  },
});

function switchOption(description: string): OptionDef & WordOption<Switch> {
  return { ...SWITCH, description: `${description} (default: auto)`, group: NEGOTIATED };
}

function saveOptions(line: Line): SaveOptions {
  const bandwidth = line.value('max-bandwidth');
  return {
    writer: line.value('writer'),
    after: line.value('after'),
    overwrite: line.flag('force'),
    ...sealOptions(line),
    guard: line.value('guard'),
    mappedRam: line.value('mapped-ram'),
    multifd: line.value('multifd'),
    fdset: line.value('fdset'),
    xIgnoreShared: line.value('x-ignore-shared'),
    zeroPageDetection: line.value('zero-page-detection'),
    maxBandwidth: bandwidth === undefined ? undefined : parseSize('--max-bandwidth', bandwidth),
    ...captureOptions(line),
    ...liveOptions(line),
    ...transferOptions(line),
  };
}
