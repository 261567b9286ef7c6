import { MappedRamError, type RuleRefusal } from '../errors.ts';
import type { Decision } from './plan.ts';
import type { Switch } from './request.ts';
import type { Rule, Situation, Subject } from './rule.ts';
import { type RuleId, RULES } from './rules/rules.ts';

export const ASKED = 'it was asked for';

/**
 * Makes sure that no rule about the subject forbids the request as a whole.
 * @throws {MappedRamError} ERR_MAPPED_RAM_UNSUPPORTED, or the rule's own code, with the rule in words
 */
export function refuseIfForbidden(situation: Situation, about: Subject): void {
  const rule = RULES.find((candidate) => candidate.effect === 'refuse' && isHit(candidate, about, situation));
  if (rule !== undefined) throw refusal(rule, whyOf(rule, situation), situation);
}

/**
 * Decides about one feature.
 * @param wanted the caller's wish
 * @param auto the best value, taken if no rule forbids it
 * @throws {MappedRamError} ERR_MAPPED_RAM_UNSUPPORTED when the caller asked for the feature and a rule forbids it
 */
export function decide(
  situation: Situation,
  about: Subject,
  wanted: Switch,
  auto: Decision<boolean>,
): Decision<boolean> {
  if (wanted === 'off') return { value: false, why: ASKED };
  if (wanted === 'auto' && !auto.value) return auto;
  const rule = RULES.find(
    (candidate) => candidate.effect === 'degrade' && isHit(candidate, about, situation),
  );
  if (rule === undefined) return wanted === 'on' ? { value: true, why: ASKED } : auto;
  const why = whyOf(rule, situation);
  if (wanted === 'on') throw refusal(rule, `${NAMES[about]} cannot be had: ${why}`, situation);
  return { value: false, why, rule: rule.id };
}

/** Returns a rule's reason in this situation, in words. */
export function whyOf({ words }: Rule, situation: Situation): string {
  return typeof words === 'string' ? words : words(situation);
}

/** Names of the features in error messages. */
const NAMES: Readonly<Record<Subject, string>> = {
  qemu: 'this',
  target: 'this target',
  stateOnly: "taking the guest out of QEMU's process",
  base: 'an incremental save',
  writer: 'writer engine',
  migration: 'a migration',
  mappedRam: 'mapped-ram',
  multifd: 'multifd',
  directIo: 'direct I/O',
  xIgnoreShared: 'x-ignore-shared',
  fdset: 'an fd set',
  zeroPageDetection: 'zero-page-detection',
  live: 'a live save',
};

function isHit(rule: Rule, about: Subject, situation: Situation): boolean {
  return rule.about === about && rule.applies(situation);
}

function refusal(rule: Rule<RuleId>, words: string, { target }: Situation): MappedRamError {
  const code = rule.effect === 'refuse' ? rule.code : undefined;
  const facts: RuleRefusal = { rule: rule.id, section: rule.section };
  return new MappedRamError(code ?? 'ERR_MAPPED_RAM_UNSUPPORTED', words, { path: target.path, rule: facts });
}
