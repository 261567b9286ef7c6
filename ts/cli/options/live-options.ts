import type { Live } from '../../negotiate/request.ts';
import {
  type LiveOptions,
  WHEN_NOT_CONVERGING,
  type WhenNotConverging,
} from '../../save/live/live-options.ts';
import { UsageError } from '../exit-codes.ts';
import type { CommandLine } from './command-line.ts';
import { choice, type OptionDef, type WordOption } from './option-def.ts';

const group = 'Live saves';
const SWITCH = { auto: 'auto', on: true, off: false } as const;

/** The options of saves during which the guest goes on. */
export const LIVE_OPTIONS: Readonly<Record<'downtime-limit' | 'max-passes' | 'max-live', OptionDef>> & {
  readonly live: OptionDef & WordOption<keyof typeof SWITCH>;
  readonly 'when-not-converging': OptionDef & WordOption<WhenNotConverging>;
} = {
  live: {
    ...choice('auto', 'on', 'off'),
    description:
      'Whether the guest goes on while QEMU writes, and stands still only at the end (default: auto, under KVM where QEMU writes)',
    group,
  },
  'downtime-limit': {
    type: 'string',
    valueHint: 'ms',
    description: 'Milliseconds for which QEMU may stop the guest at the end, as it estimates (default: 100)',
    group,
  },
  'max-passes': {
    type: 'string',
    valueHint: 'N',
    description: 'Passes over the memory during which the guest may run (default: 20)',
    group,
  },
  'max-live': {
    type: 'string',
    valueHint: 'ms',
    description: 'Milliseconds for which the guest may run while QEMU writes (default: no limit)',
    group,
  },
  'when-not-converging': {
    ...choice(...WHEN_NOT_CONVERGING),
    description:
      'What is done at either bound: stop the guest for the rest, or abandon the save (default: stop)',
    group,
  },
};

/** @throws {UsageError} */
export function liveOptions(
  line: CommandLine<typeof LIVE_OPTIONS>,
): LiveOptions & { readonly live: Live | undefined; readonly downtimeLimitMs: number | undefined } {
  const live = line.value('live');
  return {
    live: live === undefined ? undefined : SWITCH[live],
    downtimeLimitMs: count(line, 'downtime-limit'),
    maxPasses: count(line, 'max-passes'),
    maxLiveMs: count(line, 'max-live'),
    whenNotConverging: line.value('when-not-converging'),
  };
}

function count(
  line: CommandLine<typeof LIVE_OPTIONS>,
  name: 'downtime-limit' | 'max-passes' | 'max-live',
): number | undefined {
  const text = line.value(name);
  if (text === undefined) return undefined;
  if (/^[1-9]\d{0,8}$/.test(text)) return Number(text);
  throw new UsageError(`--${name} must be a whole number, at least 1, not '${text}'`);
}
