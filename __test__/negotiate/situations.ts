import { makeRestorePlan } from '../../ts/negotiate/make-restore-plan.ts';
import { makeSavePlan } from '../../ts/negotiate/make-save-plan.ts';
import { planTarget } from '../../ts/negotiate/plan-target.ts';
import type { MemoryBlock } from '../../ts/qemu/memory/memory-block.ts';
import type { NegotiationRequest, RestoreRequest, SaveRequest } from '../../ts/negotiate/request.ts';
import type { Plan } from '../../ts/negotiate/plan.ts';
import type { QemuFacts, QemuFeatures } from '../../ts/qemu/qemu-facts.ts';
import type { CaptureFacts } from '../../ts/negotiate/capture/capture-facts.ts';
import type { HostFacts } from '../../ts/negotiate/host-facts.ts';
import type { StartingSituation } from '../../ts/negotiate/rule.ts';
import { buildStream } from '../support/stream-builder.ts';
import { readStreamIndex, type StreamIndex } from '../../ts/stream/index.ts';
import { model } from '../stream/broken-streams.ts';
import { StrictReader } from '../stream/strict-reader.ts';

export const MIB: number = 2 ** 20;

const CAPABILITIES = [
  'background-snapshot',
  'dirty-bitmaps',
  'compress',
  'events',
  'mapped-ram',
  'multifd',
  'pause-before-switchover',
  'postcopy-preempt',
  'postcopy-ram',
  'return-path',
  'switchover-ack',
  'x-colo',
  'x-ignore-shared',
  'xbzrle',
  'zero-copy-send',
] as const;

/** A test's differences from a QEMU and a host that have everything, and from a guest that any writer can save. */
export interface Differences {
  readonly features?: Partial<QemuFeatures>;
  /** Capabilities that are on. */
  readonly on?: readonly string[];
  /** Parameters that are not at their default. */
  readonly parameters?: Readonly<Record<string, unknown>>;
  readonly qemu?: Partial<QemuFacts>;
  readonly host?: Partial<HostFacts>;
  readonly snapshot?: StreamIndex | undefined;
  readonly givenFds?: StartingSituation['givenFds'];
  readonly diskUsers?: StartingSituation['diskUsers'];
  readonly ownDisks?: StartingSituation['ownDisks'];
  /** @default false */
  readonly kvm?: boolean | undefined;
  /** Differences from a guest that can be taken out of QEMU's process. @default nobody asked */
  readonly capture?: Partial<CaptureFacts>;
}

/** A guest that can be taken out of QEMU's process. */
const capture: CaptureFacts = {
  deviceState: { hasCommand: true, tellsDevices: true, blockedReasons: [] },
  liveState: [],
  machine: { machine: 'pc-q35-10.0', target: 'x86_64' },
  machineProblem: undefined,
  memory: { pid: 4711, blocks: [] },
  rights: undefined,
  ownBytes: 0,
  base: undefined,
};

export const sharedBlock: MemoryBlock = {
  id: 'm0',
  length: 2048 * MIB,
  maxLength: 2048 * MIB,
  hostPageSize: 4096,
  backend: {
    id: 'm0',
    type: 'memory-backend-file',
    size: 2048 * MIB,
    share: true,
    path: '/dev/shm/m0',
    offset: 0,
  },
  file: { path: '/dev/shm/m0', offset: 0, confirmed: true },
  why: 'QEMU shares it in /dev/shm/m0',
};

export const privateBlock: MemoryBlock = {
  ...sharedBlock,
  id: 'pc.ram',
  backend: {
    id: 'pc.ram',
    type: 'memory-backend-ram',
    size: 2048 * MIB,
    share: false,
    path: undefined,
    offset: 0,
  },
  file: undefined,
  why: 'memory-backend-ram has no file with a name',
};

export const firmware: MemoryBlock = {
  id: 'pc.bios',
  length: 262_144,
  maxLength: 262_144,
  hostPageSize: 4096,
  backend: undefined,
  file: undefined,
  why: 'it belongs to a device or is firmware',
};

const possible = { possible: true, why: '' };

export function situation(request: NegotiationRequest, different: Differences = {}): StartingSituation {
  const features: QemuFeatures = {
    mappedRam: true,
    multifd: true,
    xIgnoreShared: true,
    directIo: true,
    zeroPageDetection: true,
    fdsets: true,
    mappedRamIgnoresShared: true,
    fileTransport: true,
    mapsParts: true,
    ignoresNamedOnly: true,
    ...different.features,
  };
  const parameters = { 'max-bandwidth': 0, 'multifd-compression': 'none', 'tls-creds': '', mode: 'normal' };
  return {
    request,
    target: planTarget(request.target),
    qemu: {
      version: { major: 11, minor: 0, micro: 0 },
      features,
      runState: request.direction === 'save' ? 'running' : 'inmigrate',
      migrationStatus: 'none',
      blockedReasons: [],
      capabilities: new Map(CAPABILITIES.map((name) => [name, different.on?.includes(name) === true])),
      parameters: new Map(Object.entries({ ...parameters, ...different.parameters })),
      passesDescriptors: true,
      memory: [privateBlock, firmware],
      ...different.qemu,
    },
    host: {
      openable: possible,
      directIo: possible,
      kind: 'nothing',
      allocated: 0,
      freeBytes: Number.POSITIVE_INFINITY,
      availableMemory: 8192 * MIB,
      cores: 8,
      ...different.host,
    },
    snapshot: different.snapshot,
    givenFds: different.givenFds,
    diskUsers: different.diskUsers ?? [],
    ownDisks: different.ownDisks,
    kvm: 'kvm' in different ? different.kvm : false,
    capture: different.capture && { ...capture, ...different.capture },
  };
}

export function plan(request: NegotiationRequest, different: Differences = {}): Plan {
  const start = situation(request, different);
  return request.direction === 'save' ? makeSavePlan(start, request) : makeRestorePlan(start, request);
}

export const save = (request: Partial<SaveRequest> = {}): SaveRequest => ({
  direction: 'save',
  target: '/snapshots/guest',
  ...request,
});

export const restore = (request: Partial<RestoreRequest> = {}): RestoreRequest => ({
  direction: 'restore',
  target: '/snapshots/guest',
  ...request,
});

/** The index of a file with these capabilities: whole, cut off in its memory, or without its vmdescription. */
export async function index(
  capabilities: readonly string[],
  damage: 'none' | 'truncated' | 'undescribed' = 'none',
): Promise<StreamIndex> {
  const configuration = { machine: 'pc-q35-10.0', capabilities };
  const { bytes, records } = buildStream({
    ...model,
    configuration,
    vmdescription: damage !== 'undescribed',
  });
  const last = records.findLast((record) => record.type === 'ram-block');
  const end = damage === 'truncated' ? (last?.mapped?.area.pagesOffset ?? 0) + 1 : bytes.length;
  return readStreamIndex(new StrictReader(bytes.subarray(0, end)));
}
