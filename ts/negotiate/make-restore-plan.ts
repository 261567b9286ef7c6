import { decide, refuseIfForbidden } from './decide.ts';
import { commonParts, decideChannels } from './plan-parts.ts';
import type { Decision, RestorePlan } from './plan.ts';
import type { RestoreRequest, Switch } from './request.ts';
import type { Situation, StartingSituation } from './rule.ts';

/**
 * Works out a restore from known facts. Asks nobody anything.
 * @throws {MappedRamError} as {@link makeSavePlan}
 */
export function makeRestorePlan(start: StartingSituation, request: RestoreRequest): RestorePlan {
  const { reader = 'qemu' } = request;
  const engine = reader !== 'qemu';
  const none = { stateOnly: false, stateOnlyWhy: '', mappedRam: false, multifd: false, directIo: false };
  const nothing = { ...start, ...none, engine, live: false };
  refuseIfForbidden(nothing, 'qemu');
  refuseIfForbidden(nothing, 'target');
  const mappedRam = asInFile(nothing, 'mapped-ram', request.mappedRam);
  const xIgnoreShared = asInFile(nothing, 'x-ignore-shared', request.xIgnoreShared);
  const withFormat = { ...nothing, mappedRam: mappedRam.value };
  const channelled = decideChannels(withFormat);
  const withChannels = { ...withFormat, multifd: channelled.multifd.value };
  const directIo = engine
    ? { value: false, why: 'QEMU loads its device state only, which is small' }
    : decide(withChannels, 'directIo', request.directIo ?? 'auto', pageCacheOrNot(start));
  const situation = { ...withChannels, directIo: directIo.value };
  return {
    direction: 'restore',
    reader,
    ...commonParts(situation, {
      mappedRam: mappedRam.value,
      multifd: channelled.multifd.value,
      channels: channelled.channels.value,
      directIo: directIo.value,
      xIgnoreShared: xIgnoreShared.value,
      parameters: {},
    }),
    ...channelled,
    mappedRam,
    xIgnoreShared,
    directIo,
  };
}

/** The destination needs the capability exactly as the file has it (docs/format.md §1.2). */
function asInFile(
  situation: Situation,
  capability: 'mapped-ram' | 'x-ignore-shared',
  wanted: Switch = 'auto',
): Decision<boolean> {
  const { engine, snapshot } = situation;
  if (engine) return { value: false, why: 'QEMU loads its device state only, a plain stream' };
  if (snapshot === undefined) {
    const subject = capability === 'mapped-ram' ? 'mappedRam' : 'xIgnoreShared';
    return decide(situation, subject, wanted, { value: false, why: 'nothing speaks for it' });
  }
  const value = snapshot.capabilities.includes(capability);
  return { value, why: value ? 'the file was saved with it' : 'the file was saved without it' };
}

/** The page cache helps the next restore of the same file, if the file fits in. */
function pageCacheOrNot({ host: { allocated, availableMemory } }: StartingSituation): Decision<boolean> {
  return allocated <= availableMemory / 2
    ? { value: false, why: 'the file fits in the page cache, where the next restore finds it' }
    : { value: true, why: 'the file is too large for the page cache' };
}
