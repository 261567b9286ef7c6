import type { StreamIndex } from '../stream/stream-index.ts';
import type { MigrationAddress } from '../uri/migration-address.ts';
import { engineBlocks, LARGE_BLOCK } from './engine-blocks.ts';
import type { FdAccess } from '../host/fd-access.ts';
import { isUnderWay } from '../qemu/migration-info.ts';
import type { MemoryBlock, QemuFacts } from './plan.ts';
import type { Rule, RuleId, Situation } from './rule.ts';

/**
 * All that forbids or spoils something: docs/format.md §5.4, §6.2 and §7.1, in one table. What another host's file, or
 * another guest's memory, has to look like is the preflight's business (§7.1 6, 7, 13).
 */
export const RULES: readonly Rule[] = [
  // What QEMU is doing.
  {
    id: 'blocked',
    about: 'qemu',
    section: '6.3',
    effect: 'refuse',
    applies: ({ request, qemu }) => request.direction === 'save' && qemu.blockedReasons.length > 0,
    words: ({ qemu }) => `QEMU says that this guest cannot be saved: ${qemu.blockedReasons.join('; ')}`,
  },
  {
    id: 'migration-running',
    about: 'qemu',
    section: '6.3',
    effect: 'refuse',
    applies: ({ request, qemu }) => request.direction === 'save' && isUnderWay(qemu.migrationStatus),
    words: ({ qemu }) => `a migration is under way already (${qemu.migrationStatus})`,
  },
  {
    id: 'postmigrate',
    about: 'qemu',
    section: '4.1',
    effect: 'refuse',
    applies: ({ request, qemu }) => request.direction === 'save' && qemu.runState === 'postmigrate',
    words:
      'the guest stands still since its last save, and QEMU saves no such guest; let it go on first (cont)',
  },
  {
    id: 'only-incoming',
    about: 'qemu',
    section: '6.4',
    effect: 'refuse',
    applies: ({ request, qemu }) => request.direction === 'save' && qemu.runState === 'inmigrate',
    words: 'there is no guest yet: this QEMU waits for one to be restored',
  },
  {
    id: 'not-incoming',
    about: 'qemu',
    section: '6.4',
    effect: 'refuse',
    applies: ({ request, qemu }) => request.direction === 'restore' && qemu.runState !== 'inmigrate',
    words: ({ qemu }) =>
      `QEMU was not started with -incoming defer, or has a guest already (${qemu.runState})`,
  },
  {
    id: 'incoming-once',
    about: 'qemu',
    section: '7.1 11',
    effect: 'refuse',
    applies: ({ request, qemu }) =>
      request.direction === 'restore' && qemu.runState === 'inmigrate' && qemu.migrationStatus !== 'none',
    words: ({ qemu }) =>
      `this QEMU has tried to restore a guest before (${qemu.migrationStatus}), and cannot try twice`,
  },

  // Who writes a save.
  {
    id: 'engine-needs-file',
    about: 'writer',
    section: '5.4',
    effect: 'degrade',
    applies: ({ target }) => target.path === undefined,
    words: 'the engine writes to a file that it can open by name',
  },
  {
    id: 'engine-another-host',
    about: 'writer',
    section: '10',
    effect: 'degrade',
    applies: ({ qemu }) => !qemu.passesDescriptors,
    words: 'only a unix socket shows that QEMU is on this host, and its memory files with it',
  },
  {
    id: 'engine-needs-x-ignore-shared',
    about: 'writer',
    section: '10',
    effect: 'degrade',
    applies: ({ request, qemu }) => !qemu.features.xIgnoreShared || request.xIgnoreShared === 'off',
    words: 'QEMU has to leave the shared memory out of its stream, which takes x-ignore-shared',
  },
  {
    id: 'engine-writes-mapped-ram',
    about: 'writer',
    section: '2',
    effect: 'degrade',
    applies: ({ request }) => request.mappedRam === 'off',
    words: 'the engine writes mapped-ram files only',
  },
  {
    id: 'engine-no-multifd',
    about: 'writer',
    section: '5.4',
    effect: 'degrade',
    applies: ({ request }) => request.multifd === 'on',
    words: 'multifd is how QEMU writes memory; the engine has channels of its own',
  },
  {
    id: 'engine-no-zero-page-choice',
    about: 'writer',
    section: '4.1',
    effect: 'degrade',
    applies: ({ request }) =>
      request.direction === 'save' &&
      (request.zeroPageDetection === 'none' || request.zeroPageDetection === 'legacy'),
    words: 'the channels of the engine look for zero pages, and leave them out',
  },
  {
    id: 'engine-no-bandwidth',
    about: 'writer',
    section: '7.1 12',
    effect: 'degrade',
    applies: ({ request }) => request.direction === 'save' && (request.maxBandwidth ?? 0) > 0,
    words: 'only QEMU keeps to a bandwidth; the engine is as fast as it can',
  },
  {
    id: 'engine-memory-unknown',
    about: 'writer',
    section: '10',
    effect: 'degrade',
    applies: ({ qemu }) => qemu.memory.length === 0,
    words: 'this QEMU does not tell its RAM blocks',
  },
  {
    id: 'engine-memory-private',
    about: 'writer',
    section: '10',
    effect: 'degrade',
    applies: ({ qemu }) => {
      const blocks = engineBlocks(qemu.memory);
      return blocks.private.length > 0 || blocks.reachable.length + blocks.unreachable.length === 0;
    },
    words: ({ qemu }) => {
      const blocks = engineBlocks(qemu.memory).private.map(({ id, why }) => `${id} is not: ${why}`);
      const size = `${LARGE_BLOCK / 1024 / 1024} MiB`;
      return `blocks above ${size} have to be in shared files with names; ${blocks.join(', ') || 'no block is'}`;
    },
  },
  {
    id: 'engine-memory-unreachable',
    about: 'writer',
    section: '10',
    effect: 'degrade',
    applies: ({ qemu }) => engineBlocks(qemu.memory).unreachable.length > 0,
    words: ({ qemu }) =>
      engineBlocks(qemu.memory)
        .unreachable.map(({ id, why }) => `${id}: ${why}`)
        .join(', '),
  },
  {
    id: 'engine-memory-unconfirmed',
    about: 'writer',
    section: '10',
    effect: 'degrade',
    applies: ({ qemu }) => unconfirmed(qemu.memory).length > 0,
    words: ({ qemu }) =>
      unconfirmed(qemu.memory)
        .map(({ id, why }) => `${id}: ${why}`)
        .join(', '),
  },
  {
    id: 'engine-cannot-write',
    about: 'writer',
    section: '4.1',
    effect: 'degrade',
    applies: ({ target, host }) => target.path !== undefined && !host.openable.possible,
    words: ({ host }) => `this process cannot make the file: ${host.openable.reason}`,
  },

  // The target.
  {
    id: 'mapped-ram-needs-file',
    about: 'target',
    section: '5.4',
    effect: 'refuse',
    applies: ({ target, request, engine }) =>
      !engine && target.address.transport !== 'file' && request.mappedRam !== 'off',
    words: ({ target }) =>
      `mapped-ram has to seek in a file, and ${transportOf(target.address)} is a stream; ask for it with mappedRam off`,
  },
  {
    id: 'regular-file',
    about: 'target',
    section: '4.1',
    effect: 'refuse',
    applies: ({ target, request, host }) =>
      request.direction === 'save' && target.path !== undefined && host.kind === 'other',
    words: 'it is no regular file, and QEMU writes to nothing that it cannot truncate',
  },
  {
    id: 'offset-destroys-prefix',
    about: 'target',
    section: '4.1',
    effect: 'refuse',
    // direct-io came with the same release (9.1) as truncation to the offset.
    applies: ({ target, request, qemu, engine }) =>
      request.direction === 'save' && !engine && target.offset > 0 && !qemu.features.directIo,
    words: 'this QEMU empties the file from its beginning, not from the offset',
  },
  {
    id: 'fdset-missing',
    about: 'target',
    section: '5.3',
    effect: 'refuse',
    applies: ({ target, givenFds }) => target.fdset !== undefined && givenFds === undefined,
    words: ({ target }) => `QEMU has no fd set ${target.fdset}`,
  },
  {
    id: 'fdset-access',
    about: 'target',
    section: '5.3',
    effect: 'refuse',
    applies: (situation) =>
      situation.givenFds?.every((fd) => fd !== undefined && !matches(situation, fd, false)) === true,
    words: ({ request }) =>
      `QEMU takes a descriptor that is open ${request.direction === 'save' ? 'O_WRONLY' : 'O_RDONLY'}, exactly so and without O_DIRECT, and the set has none`,
  },
  {
    id: 'another-host',
    about: 'target',
    section: '5',
    effect: 'warn',
    applies: ({ target, qemu }) => target.path !== undefined && !qemu.passesDescriptors,
    words:
      'only a unix socket shows that QEMU is on this host: the path is trusted to mean the same file to it',
  },
  {
    id: 'unseen-file',
    about: 'target',
    section: '7.1 1, 2',
    effect: 'refuse',
    applies: ({ target, request, snapshot, engine }) =>
      request.direction === 'restore' &&
      !engine &&
      target.address.transport === 'file' &&
      request.mappedRam !== 'off' &&
      snapshot === undefined,
    words: 'a damaged file can kill QEMU, so say what is in it (snapshot)',
  },
  {
    id: 'damaged-file',
    about: 'target',
    section: '7.1 1, 2',
    effect: 'refuse',
    code: 'ERR_MAPPED_RAM_INCOMPLETE',
    applies: ({ snapshot }) => snapshot !== undefined && !snapshot.complete && !isOnlyUnmeasured(snapshot),
    words: ({ snapshot }) =>
      `the file is damaged or not complete, which QEMU may not survive: ${snapshot?.problem?.message ?? ''}`,
  },
  {
    id: 'unmeasured-file',
    about: 'target',
    section: '1.5',
    effect: 'warn',
    applies: ({ snapshot }) => snapshot !== undefined && !snapshot.complete && isOnlyUnmeasured(snapshot),
    words:
      'the memory in the file is complete; of its device state nobody can tell, for it has no vmdescription',
  },

  // mapped-ram.
  {
    id: 'mapped-ram-missing',
    about: 'mappedRam',
    section: '6.1',
    effect: 'degrade',
    applies: ({ qemu }) => !qemu.features.mappedRam,
    words: ({ qemu: { version } }) => `QEMU ${version.major}.${version.minor} has no mapped-ram`,
  },
  {
    id: 'file-form',
    about: 'target',
    section: '1.2',
    effect: 'refuse',
    applies: ({ snapshot, request, qemu, engine }) =>
      !engine &&
      snapshot !== undefined &&
      (snapshot.capabilities.includes('mapped-ram')
        ? request.mappedRam === 'off' || !qemu.features.mappedRam
        : request.mappedRam === 'on'),
    words: ({ snapshot }) =>
      snapshot?.capabilities.includes('mapped-ram') === true
        ? 'the file is a mapped-ram file, which takes a QEMU with mapped-ram on'
        : 'the file is a plain stream, which takes a QEMU with mapped-ram off',
  },

  // x-ignore-shared.
  {
    id: 'x-ignore-shared-missing',
    about: 'xIgnoreShared',
    section: '6.1',
    effect: 'degrade',
    applies: ({ qemu }) => !qemu.features.xIgnoreShared,
    words: 'this QEMU has no x-ignore-shared',
  },
  {
    id: 'x-ignore-shared-broken',
    about: 'xIgnoreShared',
    section: '7.1 8',
    effect: 'degrade',
    applies: ({ qemu, mappedRam }) => mappedRam && !qemu.features.mappedRamIgnoresShared,
    words: 'before QEMU 11.0 a mapped-ram file without the shared memory cannot be written or read',
  },
  {
    id: 'file-ignores-shared',
    about: 'target',
    section: '1.2',
    effect: 'refuse',
    applies: ({ snapshot, request, qemu, engine }) =>
      !engine &&
      snapshot !== undefined &&
      (snapshot.capabilities.includes('x-ignore-shared')
        ? request.xIgnoreShared === 'off' ||
          !qemu.features.xIgnoreShared ||
          (snapshot.capabilities.includes('mapped-ram') && !qemu.features.mappedRamIgnoresShared)
        : request.xIgnoreShared === 'on'),
    words: ({ snapshot }) =>
      snapshot?.capabilities.includes('x-ignore-shared') === true
        ? 'the file was saved with x-ignore-shared, which this QEMU has to understand (with mapped-ram: 11.0) and have on'
        : 'the file was saved without x-ignore-shared, so QEMU has to have it off',
  },
  {
    id: 'shared-memory-left-out',
    about: 'xIgnoreShared',
    section: '10',
    effect: 'warn',
    applies: ({ request, engine }) =>
      request.direction === 'save' && !engine && request.xIgnoreShared === 'on',
    words: 'the file will not hold the memory that QEMU shares in files: keep those with it',
  },

  // multifd.
  {
    id: 'multifd-engine',
    about: 'multifd',
    section: '5.4',
    effect: 'degrade',
    applies: ({ engine }) => engine,
    words: 'no memory goes through QEMU; the engine has channels of its own',
  },
  {
    id: 'multifd-missing',
    about: 'multifd',
    section: '6.1',
    effect: 'degrade',
    applies: ({ qemu }) => !qemu.features.multifd,
    words: 'this QEMU has no multifd',
  },
  {
    id: 'multifd-needs-mapped-ram',
    about: 'multifd',
    section: '5.4',
    effect: 'degrade',
    applies: ({ target, mappedRam }) => target.address.transport === 'file' && !mappedRam,
    words: 'several channels write to one file only with mapped-ram',
  },
  {
    id: 'multifd-transport',
    about: 'multifd',
    section: '5.4',
    effect: 'degrade',
    applies: ({ target: { address } }) =>
      address.transport !== 'file' && (address.transport !== 'socket' || address.type === 'fd'),
    words: ({ target }) => `${transportOf(target.address)} is one channel`,
  },
  {
    id: 'multifd-disk-may-fill',
    about: 'multifd',
    section: '7.1 14, 16',
    effect: 'degrade',
    applies: ({ request, engine, host, qemu }) =>
      request.direction === 'save' && !engine && host.freeBytes < memoryOf(qemu),
    words: ({ host, qemu }) =>
      `the disk has ${host.freeBytes} bytes left and the guest's memory is ${memoryOf(qemu)}: QEMU may die of a full disk when several channels write`,
  },
  {
    id: 'channels-need-multifd',
    about: 'multifd',
    section: '5.4',
    effect: 'refuse',
    code: 'ERR_MAPPED_RAM_INVALID_ARGUMENT',
    applies: ({ request: { channels, multifd }, engine }) =>
      !engine && typeof channels === 'number' && channels > 1 && multifd === 'off',
    words: ({ request }) => `${request.channels} channels of QEMU take multifd`,
  },

  // fdsets.
  {
    id: 'fdset-needs-file',
    about: 'fdset',
    section: '5.3',
    effect: 'degrade',
    applies: ({ target, engine }) => !engine && target.address.transport !== 'file',
    words: 'there is no file to open',
  },
  {
    id: 'fdset-given',
    about: 'fdset',
    section: '5.3',
    effect: 'degrade',
    applies: ({ target, engine }) => !engine && target.fdset !== undefined,
    words: 'the target is an fd set of yours',
  },
  {
    id: 'fdset-connection',
    about: 'fdset',
    section: '5.3',
    effect: 'degrade',
    applies: ({ qemu }) => !qemu.passesDescriptors || !qemu.features.fdsets,
    words: 'descriptors travel over a unix socket, on Linux, to a QEMU that has add-fd',
  },
  {
    id: 'fdset-cannot-open',
    about: 'fdset',
    section: '5.3',
    effect: 'degrade',
    applies: ({ host, engine }) => !engine && !host.openable.possible,
    words: ({ host }) => `this process cannot open the file: ${host.openable.reason}`,
  },

  // O_DIRECT.
  {
    id: 'direct-io-missing',
    about: 'directIo',
    section: '6.1',
    effect: 'degrade',
    applies: ({ qemu, engine }) => !engine && !qemu.features.directIo,
    words: 'this QEMU has no direct-io',
  },
  {
    id: 'direct-io-needs-multifd',
    about: 'directIo',
    section: '5.4',
    effect: 'degrade',
    applies: ({ engine, mappedRam, multifd }) => !engine && !(mappedRam && multifd),
    words: 'QEMU ignores direct-io without mapped-ram and multifd',
  },
  {
    id: 'direct-io-file-system',
    about: 'directIo',
    section: '5.3',
    effect: 'degrade',
    applies: ({ target, host }) => target.path !== undefined && !host.directIo.possible,
    words: ({ host }) => `no direct I/O on this file: ${host.directIo.reason}`,
  },
  {
    id: 'direct-io-fdset',
    about: 'directIo',
    section: '7.1 3',
    effect: 'degrade',
    applies: (situation) =>
      situation.target.fdset !== undefined &&
      situation.givenFds?.some((fd) => fd !== undefined && matches(situation, fd, true)) !== true,
    words:
      'the fd set is not known to have a descriptor that was opened with O_DIRECT beside the other, and without it QEMU would die',
  },

  // Zero pages.
  {
    id: 'zero-page-detection-missing',
    about: 'zeroPageDetection',
    section: '6.1',
    effect: 'refuse',
    applies: ({ request, qemu, engine }) =>
      request.direction === 'save' &&
      !engine &&
      !qemu.features.zeroPageDetection &&
      !['auto', 'legacy', undefined].includes(request.zeroPageDetection),
    words: 'this QEMU has no choice of zero-page-detection: it is legacy',
  },

  // What others have set in QEMU.
  capabilityOff('return-path', '7.1 9', isFileSave, 'with return-path every save to a file fails'),
  capabilityOff('switchover-ack', '6.2', isFileSave, 'switchover-ack takes return-path'),
  capabilityOff(
    'background-snapshot',
    '7.1 5',
    isFile,
    'with background-snapshot the bitmaps are never written, and all memory reads as zeros',
  ),
  capabilityOff('pause-before-switchover', '6.2', isFileSave, 'the save would wait for migrate-continue'),
  capabilityOff('x-colo', '6.2', isFile, 'COLO means nothing for a file'),
  capabilityOff('xbzrle', '6.2', isFile, 'mapped-ram and xbzrle exclude each other'),
  capabilityOff('postcopy-ram', '6.2', isFile, 'mapped-ram and postcopy-ram exclude each other'),
  capabilityOff('postcopy-preempt', '6.2', isFile, 'postcopy-preempt takes postcopy-ram'),
  capabilityOff('zero-copy-send', '6.2', isFile, 'zero-copy-send takes multifd over a socket'),
  // Of QEMU 9.0; gone since 9.1.
  capabilityOff('compress', '6.1', isFile, 'mapped-ram and compress exclude each other'),
  {
    id: 'x-ignore-shared-left-on',
    about: 'xIgnoreShared',
    section: '7.1 8',
    effect: 'override',
    applies: ({ request, qemu, engine }) =>
      !engine &&
      request.xIgnoreShared !== 'on' &&
      request.direction === 'save' &&
      isOn(qemu.capabilities, 'x-ignore-shared'),
    words: 'with x-ignore-shared the file would lack the shared memory, or the save fail',
    set: { capability: 'x-ignore-shared', state: false },
  },
  {
    id: 'compression-trap',
    about: 'qemu',
    section: '7.1 4, 10',
    effect: 'override',
    applies: (situation) => isFile(situation) && isOther(situation, 'multifd-compression', 'none'),
    words:
      'multifd-compression and mapped-ram exclude each other: saves are refused, loads crash, and no parameter can be changed any more',
    set: { parameter: 'multifd-compression', value: 'none' },
  },
  {
    id: 'tls',
    about: 'qemu',
    section: '6.2',
    effect: 'override',
    applies: (situation) => isFile(situation) && isOther(situation, 'tls-creds', ''),
    words: 'a file is not encrypted: mapped-ram and tls-creds exclude each other',
    set: { parameter: 'tls-creds', value: '' },
  },
  {
    id: 'cpr-mode',
    about: 'qemu',
    section: '5.4',
    effect: 'override',
    applies: (situation) => isFile(situation) && isOther(situation, 'mode', 'normal'),
    words: 'the cpr modes hand memory over in place instead of saving it',
    set: { parameter: 'mode', value: 'normal' },
  },
  {
    id: 'max-bandwidth',
    about: 'qemu',
    section: '7.1 12',
    effect: 'override',
    applies: ({ request, qemu }) =>
      request.direction === 'save' &&
      request.maxBandwidth === undefined &&
      qemu.parameters.get('max-bandwidth') !== 0,
    words: ({ qemu }) =>
      `max-bandwidth (${String(qemu.parameters.get('max-bandwidth'))} bytes per second) holds back files, too`,
    set: { parameter: 'max-bandwidth', value: 0 },
  },
];

/** A rule that is called like the capability that does not go with this. */
function capabilityOff(
  capability: RuleId,
  section: string,
  where: (situation: Situation) => boolean,
  words: string,
): Rule {
  return {
    id: capability,
    about: 'qemu',
    section,
    effect: 'override',
    applies: (situation) => where(situation) && isOn(situation.qemu.capabilities, capability),
    words,
    set: { capability, state: false },
  };
}

/** Blocks that the engine would write, out of files that may be others than QEMU's. */
function unconfirmed(memory: readonly MemoryBlock[]): readonly MemoryBlock[] {
  return engineBlocks(memory).reachable.filter(({ file }) => !file.confirmed);
}

function isFile({ target, engine }: Situation): boolean {
  return engine || target.address.transport === 'file';
}

function isFileSave(situation: Situation): boolean {
  return situation.request.direction === 'save' && isFile(situation);
}

function memoryOf({ memory }: QemuFacts): number {
  return memory.reduce((sum, { length }) => sum + length, 0);
}

function isOn(capabilities: ReadonlyMap<string, boolean>, name: string): boolean {
  return capabilities.get(name) === true;
}

/** Whether a parameter that this QEMU has is set to something else. */
function isOther({ qemu }: Situation, parameter: string, value: string): boolean {
  return qemu.parameters.has(parameter) && qemu.parameters.get(parameter) !== value;
}

/** Whether a descriptor of the caller's is what QEMU looks for in a set. */
function matches({ request }: Situation, { mode, direct }: FdAccess, wantDirect: boolean): boolean {
  return direct === wantDirect && mode === (request.direction === 'save' ? 'write' : 'read');
}

/** All of the memory is there; only where its device state ends is not known. */
function isOnlyUnmeasured({ opaque, problem, ram }: StreamIndex): boolean {
  return opaque !== undefined && problem?.code === 'ERR_MAPPED_RAM_INCOMPLETE' && ram?.startEnd !== undefined;
}

function transportOf(address: MigrationAddress): string {
  return `${address.transport === 'socket' ? address.type : address.transport}:`;
}
