import type { StreamIndex } from '../../stream/stream-index.ts';
import type { Situation } from '../rule.ts';
import { isOpenFor, transportOf } from './conditions.ts';

/** Obstacles in the place that a save goes to, or in the file that a restore comes from. */
export const TARGET_RULES = [
  {
    id: 'mapped-ram-needs-file',
    about: 'target',
    section: '5.4',
    effect: 'refuse',
    applies: ({ target, request, engine }: Situation): boolean =>
      !engine && target.address.transport !== 'file' && request.mappedRam !== 'off',
    words: ({ target }: Situation): string =>
      `mapped-ram has to seek in a file, and ${transportOf(target.address)} is a stream; ask for it with mappedRam off`,
  },
  {
    id: 'regular-file',
    about: 'target',
    section: '4.1',
    effect: 'refuse',
    applies: ({ target, request, host }: Situation): boolean =>
      request.direction === 'save' && target.path !== undefined && host.kind === 'other',
    words: ({ host }: Situation): string =>
      `it is no regular file${host.kindWords === undefined ? '' : ` but ${host.kindWords}`}, and QEMU writes to nothing that it cannot truncate: save into a file; a copy of that on a block device can be read, too`,
  },
  {
    id: 'offset-destroys-prefix',
    about: 'target',
    section: '4.1',
    effect: 'refuse',
    // The parameter direct-io came with the same release (9.1) as truncation to the offset.
    applies: ({ target, request, qemu, engine }: Situation): boolean =>
      request.direction === 'save' && !engine && target.offset > 0 && !qemu.features.directIo,
    words: 'this QEMU empties the file from its beginning, not from the offset',
  },
  {
    id: 'fdset-missing',
    about: 'target',
    section: '5.3',
    effect: 'refuse',
    applies: ({ target, givenFds }: Situation): boolean =>
      target.fdset !== undefined && givenFds === undefined,
    words: ({ target }: Situation): string => `QEMU has no fd set ${target.fdset}`,
  },
  {
    id: 'fdset-access',
    about: 'target',
    section: '5.3',
    effect: 'refuse',
    applies: (situation: Situation): boolean =>
      situation.givenFds?.every((fd) => fd !== undefined && !isOpenFor(situation, fd, false)) === true,
    words: ({ request }: Situation): string =>
      `QEMU takes a descriptor that is open ${request.direction === 'save' ? 'O_WRONLY' : 'O_RDONLY'}, exactly so and without O_DIRECT, and the set has none`,
  },
  {
    id: 'another-host',
    about: 'target',
    section: '5',
    effect: 'warn',
    applies: ({ target, qemu }: Situation): boolean => target.path !== undefined && !qemu.passesDescriptors,
    words:
      'only a unix socket shows that QEMU is on this host: the path is trusted to mean the same file to it',
  },
  {
    id: 'unseen-file',
    about: 'target',
    section: '7.1 1, 2',
    effect: 'refuse',
    applies: ({ target, request, snapshot, engine }: Situation): boolean =>
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
    applies: ({ snapshot }: Situation): boolean =>
      snapshot !== undefined && !snapshot.complete && !isOnlyUnmeasured(snapshot),
    words: ({ snapshot }: Situation): string =>
      `the file is damaged or not complete, which QEMU may not survive: ${snapshot?.problem?.message ?? ''}`,
  },
  {
    id: 'unmeasured-file',
    about: 'target',
    section: '1.5',
    effect: 'warn',
    applies: ({ snapshot }: Situation): boolean =>
      snapshot !== undefined && !snapshot.complete && isOnlyUnmeasured(snapshot),
    words:
      'the memory in the file is complete; of its device state nobody can tell, for it has no vmdescription',
  },
] as const;

/** True when all of the memory is there, and only the end of its device state is not known. */
function isOnlyUnmeasured({ opaque, problem, ram }: StreamIndex): boolean {
  return opaque !== undefined && problem?.code === 'ERR_MAPPED_RAM_INCOMPLETE' && ram?.startEnd !== undefined;
}
