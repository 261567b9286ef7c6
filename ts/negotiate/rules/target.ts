import { migrateArguments } from '../../qemu/migrate-arguments.ts';
import { isRamComplete } from '../../snapshot/info.ts';
import type { Situation } from '../rule.ts';
import { isOpenFor, transportOf } from './conditions.ts';
import { FDSET_RULES } from './fdsets.ts';
import { isFile } from './left-settings.ts';

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
    id: 'file-missing',
    about: 'target',
    section: '5.2',
    effect: 'refuse',
    applies: (situation: Situation): boolean => needsNamedFd(situation) && whyNoFd(situation) !== undefined,
    words: (situation: Situation): string =>
      `this QEMU opens no files for a migration (QEMU 8.2 and later do), and it gets no descriptor: ${whyNoFd(situation)}`,
  },
  {
    id: 'file-from-beginning',
    about: 'target',
    section: '5.2',
    effect: 'refuse',
    applies: (situation: Situation): boolean =>
      needsNamedFd(situation) && !situation.engine && situation.target.offset > 0,
    words:
      'this QEMU opens no files for a migration (QEMU 8.2 and later do), and a descriptor begins at the beginning of its file',
  },
  {
    id: 'uri-missing',
    about: 'target',
    section: '5',
    effect: 'refuse',
    // Addresses that no URI can express came with the same release (8.2) as files.
    applies: ({ target: { address }, qemu }: Situation): boolean =>
      address.transport !== 'file' && !qemu.features.fileTransport && 'channels' in migrateArguments(address),
    words: 'this QEMU takes URIs only, and no URI can say this address',
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
      'no descriptor gets to QEMU over this connection, so nothing shows that QEMU is on this host: the path is trusted to mean the same file to it',
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
      snapshot !== undefined && !snapshot.complete && !isRamComplete(snapshot),
    words: ({ snapshot }: Situation): string =>
      `the file is damaged or not complete, which QEMU may not survive: ${snapshot?.problem?.message ?? ''}`,
  },
  {
    id: 'unmeasured-file',
    about: 'target',
    section: '1.5',
    effect: 'warn',
    applies: ({ snapshot }: Situation): boolean =>
      snapshot !== undefined && !snapshot.complete && isRamComplete(snapshot),
    words:
      'the memory in the file is complete; of its device state nobody can tell, for nothing describes it',
  },
] as const;

/** True when QEMU is to get a file, and can take it only as a descriptor with a name. */
function needsNamedFd(situation: Situation): boolean {
  return isFile(situation) && !situation.qemu.features.fileTransport;
}

/** The reason why this process cannot open the file for QEMU; undefined when it can. */
function whyNoFd(situation: Situation): string | undefined {
  if (situation.request.fdset === 'off') return 'fdset is off';
  const rule = FDSET_RULES.find(({ applies }) => applies(situation));
  return rule === undefined || typeof rule.words === 'string' ? rule?.words : rule.words(situation);
}
