import type { Situation } from '../rule.ts';
import { isOpenFor } from './conditions.ts';

/** Rules for moving pages: past the page cache, and without the zero ones. */
export const PAGE_RULES = [
  {
    id: 'direct-io-missing',
    about: 'directIo',
    section: '6.1',
    effect: 'degrade',
    applies: ({ qemu, engine }: Situation): boolean => !engine && !qemu.features.directIo,
    words: 'this QEMU has no direct-io',
  },
  {
    id: 'direct-io-needs-multifd',
    about: 'directIo',
    section: '5.4',
    effect: 'degrade',
    applies: ({ engine, mappedRam, multifd }: Situation): boolean => !engine && !(mappedRam && multifd),
    words: 'QEMU ignores direct-io without mapped-ram and multifd',
  },
  {
    id: 'direct-io-file-system',
    about: 'directIo',
    section: '5.3',
    effect: 'degrade',
    applies: ({ target, host }: Situation): boolean => target.path !== undefined && !host.directIo.possible,
    words: ({ host }: Situation): string => `no direct I/O on this file: ${host.directIo.why}`,
  },
  {
    id: 'direct-io-fdset',
    about: 'directIo',
    section: '7.1 3',
    effect: 'degrade',
    applies: (situation: Situation): boolean =>
      situation.target.fdset !== undefined &&
      situation.givenFds?.some((fd) => fd !== undefined && isOpenFor(situation, fd, true)) !== true,
    words:
      'the fd set is not known to have a descriptor that was opened with O_DIRECT beside the other, and without it QEMU would die',
  },
  {
    id: 'zero-page-detection-missing',
    about: 'zeroPageDetection',
    section: '6.1',
    effect: 'refuse',
    applies: ({ request, qemu, engine }: Situation): boolean =>
      request.direction === 'save' &&
      !engine &&
      !qemu.features.zeroPageDetection &&
      !['auto', 'legacy', undefined].includes(request.zeroPageDetection),
    words: 'this QEMU has no choice of zero-page-detection: it is legacy',
  },
] as const;
