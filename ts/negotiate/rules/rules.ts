import type { Rule, Situation } from '../rule.ts';
import { CAPTURE_RULES } from './capture.ts';
import { CHANNEL_RULES } from './channels.ts';
import { FDSET_RULES } from './fdsets.ts';
import { FORMAT_RULES } from './format.ts';
import { LEFT_CAPABILITIES } from './left-capabilities.ts';
import { isFile, LEFT_SETTING_RULES } from './left-settings.ts';
import { LIVE_RULES } from './live.ts';
import { PAGE_RULES } from './pages.ts';
import { QEMU_STATE_RULES } from './qemu-state.ts';
import { TARGET_RULES } from './target.ts';
import { WRITER_RULES } from './writer.ts';

/** Stable names of the rules. */
export type RuleId =
  | (typeof QEMU_STATE_RULES)[number]['id']
  | (typeof CAPTURE_RULES)[number]['id']
  | (typeof WRITER_RULES)[number]['id']
  | (typeof TARGET_RULES)[number]['id']
  | (typeof FORMAT_RULES)[number]['id']
  | (typeof CHANNEL_RULES)[number]['id']
  | (typeof FDSET_RULES)[number]['id']
  | (typeof PAGE_RULES)[number]['id']
  | (typeof LIVE_RULES)[number]['id']
  | (typeof LEFT_CAPABILITIES)[number]['id']
  | (typeof LEFT_SETTING_RULES)[number]['id'];

/**
 * The table of all rules that forbid or spoil something: docs/format.md §5.4, §6.2 and §7.1. When several rules forbid
 * the same, the first one speaks. The preflight, not this table, knows the conditions on another host's file or another
 * guest's memory (§7.1 6, 7, 13).
 */
export const RULES: readonly Rule<RuleId>[] = [
  ...QEMU_STATE_RULES,
  ...CAPTURE_RULES,
  ...WRITER_RULES,
  ...TARGET_RULES,
  ...FORMAT_RULES,
  ...CHANNEL_RULES,
  ...FDSET_RULES,
  ...PAGE_RULES,
  ...LIVE_RULES,
  ...LEFT_CAPABILITIES.map((capability) => capabilityOff(capability)),
  ...LEFT_SETTING_RULES,
];

/** Makes the rule about a capability that does not go with the request; the rule has the capability's name. */
function capabilityOff({ id, section, spoils, words }: (typeof LEFT_CAPABILITIES)[number]): Rule<RuleId> {
  const applies = (situation: Situation): boolean =>
    isFile(situation) &&
    (spoils === 'files' || situation.request.direction === 'save') &&
    situation.qemu.capabilities.get(id) === true;
  return {
    id,
    about: 'qemu',
    section,
    effect: 'override',
    applies,
    words,
    set: { capability: id, state: false },
  };
}
