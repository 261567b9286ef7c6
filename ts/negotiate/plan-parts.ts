import { MappedRamError } from '../errors.ts';
import { ASKED, decide, refuseIfForbidden, whyOf } from './decide.ts';
import type { QemuFacts } from '../qemu/qemu-facts.ts';
import type { QmpArgument } from '../qmp/json.ts';
import type { Decision, PlanNote } from './plan.ts';
import type { PlanTarget } from './request.ts';
import type { Situation } from './rule.ts';
import { RULES } from './rules/rules.ts';

/** QEMU gains next to nothing from more channels. */
const MOST_CHANNELS = 4;
const QEMU_CHANNELS = 255;
const ENGINE_CHANNELS = 64;

export interface ChannelDecisions {
  readonly multifd: Decision<boolean>;
  readonly channels: Decision<number | undefined>;
}

/** @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_ARGUMENT for an impossible number of channels, and as `decide` */
export function decideChannels(situation: Situation): ChannelDecisions {
  const { request, engine, host } = situation;
  const { channels: wanted = 'auto', multifd: multifdWanted = 'auto' } = request;
  checkChannels(wanted, engine ? ENGINE_CHANNELS : QEMU_CHANNELS);
  refuseIfForbidden(situation, 'multifd');
  const several = !engine && typeof wanted === 'number' && wanted > 1;
  const multifd = decide(
    situation,
    'multifd',
    several && multifdWanted === 'auto' ? 'on' : multifdWanted,
    autoMultifd(wanted, situation),
  );
  if (typeof wanted === 'number') return { multifd, channels: { value: wanted, why: ASKED } };
  if (engine) return { multifd, channels: { value: undefined, why: engineChannels(situation) } };
  if (!multifd.value) return { multifd, channels: { value: 1, why: 'without multifd there is one' } };
  const value = Math.max(2, Math.min(host.cores, MOST_CHANNELS));
  return {
    multifd,
    channels: { value, why: `there are ${host.cores} cores, and more than ${MOST_CHANNELS} gain little` },
  };
}

function engineChannels({ request }: Situation): string {
  return request.direction === 'restore' && request.reader === 'nobody'
    ? 'the memory is mapped, nobody reads it beforehand'
    : 'the engine knows what suits it';
}

function autoMultifd(channels: number | 'auto', { target, engine }: Situation): Decision<boolean> {
  if (!engine && channels === 1) return { value: false, why: 'one channel was asked for' };
  if (!engine && target.address.transport !== 'file')
    return { value: false, why: 'the other side of a stream would have to know' };
  return { value: true, why: 'several channels are faster than one' };
}

function checkChannels(channels: number | 'auto', most: number): void {
  if (channels === 'auto' || (Number.isInteger(channels) && channels >= 1 && channels <= most)) return;
  throw new MappedRamError('ERR_MAPPED_RAM_INVALID_ARGUMENT', 'channels', {
    expected: `1 to ${most}`,
    found: channels,
  });
}

export interface CommonParts {
  readonly target: PlanTarget;
  readonly fdset: Decision<boolean>;
  readonly capabilities: Readonly<Record<string, boolean>>;
  readonly parameters: Readonly<Record<string, QmpArgument>>;
  readonly notes: readonly PlanNote[];
  readonly qemu: QemuFacts;
}

/** Settings of QEMU while the decisions are carried out. */
export interface DecidedSettings {
  readonly mappedRam: boolean;
  readonly multifd: boolean;
  readonly channels: number | undefined;
  readonly directIo: boolean;
  readonly xIgnoreShared: boolean;
  /** Parameters beyond those that follow from the other settings. */
  readonly parameters: Readonly<Record<string, QmpArgument>>;
}

export function commonParts(situation: Situation, settings: DecidedSettings): CommonParts {
  const { request, target, qemu, engine } = situation;
  const fdset = decide(situation, 'fdset', request.fdset ?? 'auto', {
    value: true,
    why: 'QEMU then needs no right to the file',
  });
  const capabilities: Record<string, boolean> = {
    events: true,
    'mapped-ram': settings.mappedRam,
    multifd: settings.multifd,
    'x-ignore-shared': settings.xIgnoreShared,
  };
  const parameters: Record<string, QmpArgument> = { ...settings.parameters };
  if (settings.multifd && settings.channels !== undefined) parameters['multifd-channels'] = settings.channels;
  // A direct-io that somebody left on would take effect as soon as multifd is on.
  if (qemu.features.directIo) parameters['direct-io'] = !engine && settings.directIo;
  const notes: PlanNote[] = [];
  for (const rule of RULES) {
    const { id, effect } = rule;
    if (effect === 'refuse' || effect === 'degrade' || !rule.applies(situation)) continue;
    notes.push({ rule: id, effect, words: whyOf(rule, situation) });
    if (rule.effect !== 'override') continue;
    if ('capability' in rule.set) capabilities[rule.set.capability] = rule.set.state;
    else parameters[rule.set.parameter] = rule.set.value;
  }
  const known = Object.entries(capabilities).filter(([name]) => qemu.capabilities.has(name));
  return { target, fdset, capabilities: Object.fromEntries(known), parameters, notes, qemu };
}
