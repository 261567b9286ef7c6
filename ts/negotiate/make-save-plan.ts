import { MappedRamError } from '../errors.ts';
import { ASKED, decide, refuseIfForbidden } from './decide.ts';
import { engineBlocks, LARGE_BLOCK } from './engine-blocks.ts';
import { commonParts, decideChannels } from './plan-parts.ts';
import type { Decision, SavePlan } from './plan.ts';
import type { SaveRequest, Switch, ZeroPageDetection } from './request.ts';
import type { Situation, StartingSituation } from './rule.ts';

/**
 * Works out a save from known facts. Asks nobody anything.
 * @throws {MappedRamError} ERR_MAPPED_RAM_UNSUPPORTED and other codes of the rules, ERR_MAPPED_RAM_INVALID_ARGUMENT
 */
export function makeSavePlan(start: StartingSituation, request: SaveRequest): SavePlan {
  checkBandwidth(request.maxBandwidth ?? 0);
  const nothing = { ...start, engine: false, mappedRam: false, multifd: false, directIo: false };
  refuseIfForbidden(nothing, 'qemu');
  const engine = decide(nothing, 'writer', writerSwitch(request), {
    value: true,
    why: engineWhy(start),
  });
  const withWriter = { ...nothing, engine: engine.value };
  refuseIfForbidden(withWriter, 'target');
  refuseIfForbidden(withWriter, 'zeroPageDetection');
  const mappedRam = engine.value
    ? {
        value: false,
        why: 'the engine writes the memory; what QEMU writes is its device state, a plain stream',
      }
    : decide(withWriter, 'mappedRam', request.mappedRam ?? 'auto', {
        value: true,
        why: 'every page gets a place of its own',
      });
  const withFormat = { ...withWriter, mappedRam: mappedRam.value };
  const xIgnoreShared = engine.value
    ? { value: true, why: 'QEMU leaves to the engine what the engine writes' }
    : decide(withFormat, 'xIgnoreShared', request.xIgnoreShared ?? 'auto', {
        value: false,
        why: 'the file is to hold all of the memory',
      });
  const channelled = decideChannels(withFormat);
  const withChannels = { ...withFormat, multifd: channelled.multifd.value };
  const directIo = decide(withChannels, 'directIo', request.directIo ?? 'auto', {
    value: true,
    why: 'what was saved does not push other things out of the page cache',
  });
  const situation = { ...withChannels, directIo: directIo.value };
  const zeroPageDetection = decideZeroPages(situation, request);
  const { zeroPageDetection: choosable } = start.qemu.features;
  return {
    direction: 'save',
    ...commonParts(situation, {
      mappedRam: mappedRam.value,
      multifd: channelled.multifd.value,
      channels: channelled.channels.value,
      directIo: directIo.value,
      xIgnoreShared: xIgnoreShared.value,
      parameters: {
        'max-bandwidth': request.maxBandwidth ?? 0,
        ...(choosable && !engine.value ? { 'zero-page-detection': zeroPageDetection.value } : {}),
      },
    }),
    ...channelled,
    writer: { ...engine, value: engine.value ? 'engine' : 'qemu' },
    format: engine.value || mappedRam.value ? 'mapped-ram' : 'stream',
    mappedRam,
    xIgnoreShared,
    directIo,
    zeroPageDetection,
    engineBlocks: engine.value ? engineBlocks(start.qemu.memory).reachable : [],
  };
}

function engineWhy({ qemu }: StartingSituation): string {
  const size = `${LARGE_BLOCK / 1024 / 1024} MiB`;
  const { nearlyEmpty } = engineBlocks(qemu.memory);
  const others =
    nearlyEmpty.length === 0 ? '' : ` or hold less: ${nearlyEmpty.map(({ id }) => id).join(', ')}`;
  return `all blocks above ${size} are in shared files that can be read here${others}`;
}

function writerSwitch({ writer = 'auto' }: SaveRequest): Switch {
  if (writer === 'auto') return writer;
  return writer === 'engine' ? 'on' : 'off';
}

function decideZeroPages(
  { engine, multifd, qemu }: Situation,
  { zeroPageDetection: wanted = 'auto' }: SaveRequest,
): Decision<ZeroPageDetection> {
  if (wanted !== 'auto') return { value: wanted, why: ASKED };
  if (engine) return { value: 'multifd', why: 'the channels of the engine look for them' };
  if (!qemu.features.zeroPageDetection) return { value: 'legacy', why: 'this QEMU knows no other' };
  return multifd
    ? { value: 'multifd', why: 'the channels look for them' }
    : { value: 'legacy', why: 'there is one channel' };
}

function checkBandwidth(found: number): void {
  if (Number.isSafeInteger(found) && found >= 0) return;
  throw new MappedRamError('ERR_MAPPED_RAM_INVALID_ARGUMENT', 'maxBandwidth', {
    expected: 'bytes per second, 0 for no limit',
    found,
  });
}
