import type { MemoryBlock } from '../../qemu/memory/memory-block.ts';
import { engineBlocks, LARGE_BLOCK } from '../engine-blocks.ts';
import type { Situation } from '../rule.ts';

/** Obstacles to a save by the engine; QEMU writes instead. */
export const WRITER_RULES = [
  {
    id: 'engine-needs-file',
    about: 'writer',
    section: '5.4',
    effect: 'degrade',
    applies: ({ target }: Situation): boolean => target.path === undefined,
    words: 'the engine writes to a file that it can open by name',
  },
  {
    id: 'engine-another-host',
    about: 'writer',
    section: '10',
    effect: 'degrade',
    // Memory that was seen in QEMU's own process is on this host.
    applies: ({ qemu, stateOnly }: Situation): boolean =>
      !stateOnly && !qemu.passesDescriptors && !qemu.memory.some(({ file }) => file?.confirmed === true),
    words:
      'no descriptor gets to QEMU over this connection, so nothing shows that QEMU is on this host, and its memory files with it',
  },
  {
    id: 'engine-needs-x-ignore-shared',
    about: 'writer',
    section: '10',
    effect: 'degrade',
    applies: ({ request, qemu, stateOnly }: Situation): boolean =>
      !stateOnly && (!qemu.features.xIgnoreShared || request.xIgnoreShared === 'off'),
    words: ({ request }: Situation): string =>
      request.xIgnoreShared === 'off'
        ? 'QEMU has to leave the shared memory out of its stream, which takes x-ignore-shared'
        : 'QEMU has to leave the shared memory out of its stream, which takes x-ignore-shared: this QEMU does not have it, or refuses it as unstable',
  },
  {
    id: 'engine-writes-mapped-ram',
    about: 'writer',
    section: '2',
    effect: 'degrade',
    applies: ({ request }: Situation): boolean => request.mappedRam === 'off',
    words: 'the engine writes mapped-ram files only',
  },
  {
    id: 'engine-no-multifd',
    about: 'writer',
    section: '5.4',
    effect: 'degrade',
    applies: ({ request }: Situation): boolean => request.multifd === 'on',
    words: 'multifd is how QEMU writes memory; the engine has channels of its own',
  },
  {
    id: 'engine-no-zero-page-choice',
    about: 'writer',
    section: '4.1',
    effect: 'degrade',
    applies: ({ request }: Situation): boolean =>
      request.direction === 'save' &&
      (request.zeroPageDetection === 'none' || request.zeroPageDetection === 'legacy'),
    words: 'the channels of the engine look for zero pages, and leave them out',
  },
  {
    id: 'engine-no-bandwidth',
    about: 'writer',
    section: '7.1 12',
    effect: 'degrade',
    applies: ({ request }: Situation): boolean =>
      request.direction === 'save' && (request.maxBandwidth ?? 0) > 0,
    words: 'only QEMU keeps to a bandwidth; the engine is as fast as it can',
  },
  {
    id: 'engine-not-live',
    about: 'writer',
    section: '4.1',
    effect: 'degrade',
    applies: ({ request }: Situation): boolean => request.direction === 'save' && request.live === true,
    words: 'the engine reads the memory of a guest that stands still; only QEMU follows one that goes on',
  },
  {
    id: 'engine-memory-unknown',
    about: 'writer',
    section: '10',
    effect: 'degrade',
    applies: ({ qemu }: Situation): boolean => qemu.memory.length === 0,
    words: 'this QEMU does not tell its RAM blocks',
  },
  {
    id: 'engine-memory-private',
    about: 'writer',
    section: '10',
    effect: 'degrade',
    applies: ({ qemu, stateOnly }: Situation): boolean => {
      if (stateOnly) return false;
      const blocks = engineBlocks(qemu.memory);
      return blocks.private.length > 0 || blocks.reachable.length + blocks.unreachable.length === 0;
    },
    words: ({ qemu, stateOnlyWhy }: Situation): string => {
      const blocks = engineBlocks(qemu.memory).private.map(({ id, why }) => `${id} is not: ${why}`);
      const size = `${LARGE_BLOCK / 1024 / 1024} MiB`;
      return `blocks above ${size} have to be in shared files with names, or be nearly empty; ${blocks.join(', ') || 'no block is'}; and ${stateOnlyWhy}`;
    },
  },
  {
    id: 'engine-memory-nameless',
    about: 'writer',
    section: '10',
    effect: 'degrade',
    applies: ({ qemu, stateOnly }: Situation): boolean =>
      !stateOnly && !qemu.features.ignoresNamedOnly && sharedOtherwise(qemu.memory) !== '',
    words: ({ qemu }: Situation): string =>
      `this QEMU leaves out all shared memory with x-ignore-shared, and the engine can reach only that in files with names; ${sharedOtherwise(qemu.memory)}`,
  },
  {
    id: 'engine-memory-unreachable',
    about: 'writer',
    section: '10',
    effect: 'degrade',
    applies: ({ qemu, stateOnly }: Situation): boolean =>
      !stateOnly && engineBlocks(qemu.memory).unreachable.length > 0,
    words: ({ qemu }: Situation): string =>
      engineBlocks(qemu.memory)
        .unreachable.map(({ id, why }) => `${id}: ${why}`)
        .join(', '),
  },
  {
    id: 'engine-memory-unconfirmed',
    about: 'writer',
    section: '10',
    effect: 'degrade',
    applies: ({ qemu, stateOnly }: Situation): boolean => !stateOnly && unconfirmed(qemu.memory).length > 0,
    words: ({ qemu }: Situation): string =>
      unconfirmed(qemu.memory)
        .map(({ id, why }) => `${id}: ${why}`)
        .join(', '),
  },
  {
    id: 'engine-cannot-write',
    about: 'writer',
    section: '4.1',
    effect: 'degrade',
    applies: ({ target, host }: Situation): boolean => target.path !== undefined && !host.openable.possible,
    words: ({ host }: Situation): string => `this process cannot make the file: ${host.openable.why}`,
  },
] as const;

/** Shared memory that has no file with a name, in words; empty when there is none. */
function sharedOtherwise(memory: readonly MemoryBlock[]): string {
  return memory
    .filter(({ backend }) => backend?.share === true && backend.type !== 'memory-backend-file')
    .map(({ id, why }) => `${id} is not: ${why}`)
    .join(', ');
}

/** Blocks that the engine would write, out of files that may not be the ones that QEMU uses. */
function unconfirmed(memory: readonly MemoryBlock[]): readonly MemoryBlock[] {
  return engineBlocks(memory).reachable.filter(({ file }) => !file.confirmed);
}
