import { MappedRamError } from '../errors.ts';
import { mostForCopy } from './capture/copy-room.ts';
import { isComingBase } from './capture/found-base.ts';
import { ASKED, decide, refuseIfForbidden } from './decide.ts';
import { engineBlocks, LARGE_BLOCK } from './engine-blocks.ts';
import { commonParts, type CommonParts, decideChannels } from './plan-parts.ts';
import type { Decision, SavePlan } from './plan.ts';
import type { SaveForm, SaveRequest, Switch, ZeroPageDetection } from './request.ts';
import type { Situation, StartingSituation } from './rule.ts';

/** The default of `downtimeLimitMs`. */
const DOWNTIME_MS = 100;
/** The longest pause in milliseconds that QEMU can be allowed. */
const MOST_DOWNTIME_MS = 2_000_000;

/**
 * Works out a save from known facts. Asks nobody anything.
 * @throws {MappedRamError} ERR_MAPPED_RAM_UNSUPPORTED and other codes of the rules, ERR_MAPPED_RAM_INVALID_ARGUMENT
 */
export function makeSavePlan(start: StartingSituation, request: SaveRequest): SavePlan {
  checkBandwidth(request.maxBandwidth ?? 0);
  checkDowntime(request.downtimeLimitMs);
  const none = { engine: false, mappedRam: false, multifd: false, directIo: false, live: false };
  const undecided = { ...start, ...none, stateOnly: false, stateOnlyWhy: '' };
  refuseIfForbidden(undecided, 'qemu');
  const isIncremental = isBased(request);
  const stateOnly = decide(
    undecided,
    'stateOnly',
    isIncremental ? 'on' : 'auto',
    autoStateOnly(start, request),
  );
  // A base was asked for, and what goes with it was not.
  const forBase = isIncremental && request.writer !== 'engine' ? { why: BASE_WHY } : {};
  const nothing = { ...undecided, stateOnly: stateOnly.value, stateOnlyWhy: stateOnly.why };
  refuseIfForbidden(nothing, 'base');
  const engine = decide(nothing, 'writer', isIncremental ? 'on' : writerSwitch(request), {
    value: !isBetterLive(nothing, request),
    why: whyWriter(nothing, request),
  });
  const withWriter = { ...nothing, engine: engine.value };
  refuseIfForbidden(withWriter, 'migration');
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
  const isCapture = engine.value && stateOnly.value;
  const xIgnoreShared = isCapture
    ? { value: false, why: 'QEMU writes no memory' }
    : engine.value
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
  const live = decide(withChannels, 'live', liveSwitch(request), autoLive(withChannels));
  const situation = { ...withChannels, directIo: directIo.value, live: live.value };
  const zeroPageDetection = decideZeroPages(situation, request);
  const { zeroPageDetection: choosable } = start.qemu.features;
  const common = commonParts(situation, {
    mappedRam: mappedRam.value,
    multifd: channelled.multifd.value,
    channels: channelled.channels.value,
    directIo: directIo.value,
    xIgnoreShared: xIgnoreShared.value,
    parameters: {
      'max-bandwidth': request.maxBandwidth ?? 0,
      ...(choosable && !engine.value ? { 'zero-page-detection': zeroPageDetection.value } : {}),
      ...(live.value ? { 'downtime-limit': request.downtimeLimitMs ?? DOWNTIME_MS } : {}),
    },
  });
  return {
    direction: 'save',
    ...common,
    ...channelled,
    // No migration takes place, so nothing that one would need is set.
    ...(isCapture ? settingNothing(common) : {}),
    stateOnly:
      stateOnly.value && !isCapture
        ? { value: false, why: engine.why }
        : { ...stateOnly, ...(isIncremental ? { why: BASE_WHY } : {}) },
    base: isIncremental
      ? { value: baseIn(start), why: whyBase(start) }
      : { value: undefined, why: 'all of the memory is to be written' },
    form: decideForm(request),
    capture: start.capture,
    writer: { ...engine, ...forBase, value: engine.value ? 'engine' : 'qemu' },
    format: engine.value || mappedRam.value ? 'mapped-ram' : 'stream',
    mappedRam,
    xIgnoreShared,
    directIo,
    zeroPageDetection,
    live,
    engineBlocks: engine.value && !isCapture ? engineBlocks(start.qemu.memory).reachable : [],
  };
}

/** The reason for the engine, where it takes the guest out of QEMU's process. */
const CAPTURE_WHY =
  "the engine takes the guest out of QEMU's process: device state in milliseconds, and the pages that are there";

/** The reason for the engine, and for the way it takes, in an incremental save. */
const BASE_WHY = "only the engine, in QEMU's process, finds what differs from the base that was asked for";

function whyWriter(situation: Situation, request: SaveRequest): string {
  if (isBetterLive(situation, request)) return LIVE_WHY;
  return situation.stateOnly ? CAPTURE_WHY : engineWhy(situation);
}

const LIVE_WHY =
  'no copy of the pages in use can be taken in the memory that is left for one, and under KVM QEMU writes them while the guest goes on';

/** Tells whether a guest would stand still for long while its pages are written, and need not. */
function isBetterLive(
  { stateOnly, kvm, capture, qemu, diskUsers }: Situation,
  { live = 'auto', mappedRam, maxCopyMemory, wantsEngine = false }: SaveRequest,
): boolean {
  const needed = capture?.ownBytes;
  // A migration is refused where disks are in use.
  if (wantsEngine || diskUsers.some(({ hinders }) => hinders)) return false;
  if (!stateOnly || kvm !== true || live !== 'auto' || needed === undefined) return false;
  const canBeLive = qemu.features.mappedRam && mappedRam !== 'off' && qemu.runState === 'running';
  return canBeLive && maxCopyMemory === undefined && needed > mostForCopy(undefined);
}

/** Somebody who names no writer, and wants a guest that stays stopped, may want its disks for another QEMU. */
function autoStateOnly(
  { qemu, ownDisks = [] }: StartingSituation,
  { after, writer = 'auto' }: SaveRequest,
): Decision<boolean> {
  // A guest that stands still since its last save has given its disks up.
  if (after === 'stop' && writer === 'auto' && ownDisks.length > 0 && qemu.runState !== 'postmigrate') {
    const disks = ownDisks.join(', ');
    const why = `the guest is to stay stopped, and only a migration makes QEMU give its disks up (${disks})`;
    return { value: false, why };
  }
  return {
    value: true,
    why: 'the pages are copied while the guest stands still, and written when it goes on',
  };
}

function settingNothing({ notes }: CommonParts): Partial<CommonParts> {
  return { capabilities: {}, parameters: {}, notes: notes.filter(({ effect }) => effect === 'warn') };
}

function decideForm({ base = 'none', form }: SaveRequest): Decision<SaveForm | undefined> {
  if (base === 'none') return { value: 'whole', why: 'all of the memory is to be written' };
  if (form === 'delta') return { value: form, why: ASKED };
  return { value: undefined, why: 'it takes a filesystem that shares the blocks of the base' };
}

function isBased({ base = 'none' }: SaveRequest): boolean {
  return base !== 'none';
}

function baseIn({ capture }: StartingSituation): string | undefined {
  return capture?.base !== undefined && 'path' in capture.base ? capture.base.path : undefined;
}

function whyBase({ capture }: StartingSituation): string {
  return isComingBase(capture?.base) ? "the guest's memory is on its way from it" : 'QEMU has mapped it';
}

function engineWhy({ qemu }: Pick<Situation, 'qemu'>): string {
  const size = `${LARGE_BLOCK / 1024 / 1024} MiB`;
  const { nearlyEmpty } = engineBlocks(qemu.memory);
  const others =
    nearlyEmpty.length === 0 ? '' : ` or hold less: ${nearlyEmpty.map(({ id }) => id).join(', ')}`;
  return `all blocks above ${size} are in shared files that can be read here${others}`;
}

function liveSwitch({ live = 'auto' }: SaveRequest): Switch {
  if (live === 'auto') return live;
  return live ? 'on' : 'off';
}

function autoLive({ engine, kvm }: Situation): Decision<boolean> {
  if (engine) return { value: false, why: 'the engine reads the memory of a guest that stands still' };
  if (kvm === true) return { value: true, why: 'KVM notices every store of the guest while QEMU writes' };
  const why = 'without KVM a live save may miss a store of the guest, so it has to be asked for';
  return { value: false, why };
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

function checkDowntime(found: number | undefined): void {
  if (found === undefined || (Number.isSafeInteger(found) && found >= 1 && found <= MOST_DOWNTIME_MS)) return;
  throw new MappedRamError('ERR_MAPPED_RAM_INVALID_ARGUMENT', 'downtimeLimitMs', {
    expected: `milliseconds, 1 to ${MOST_DOWNTIME_MS}`,
    found,
  });
}
