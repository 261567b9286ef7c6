import type { Situation } from '../rule.ts';

/** Obstacles to opening the file here and handing it to QEMU as descriptors. */
export const FDSET_RULES = [
  {
    id: 'fdset-needs-file',
    about: 'fdset',
    section: '5.3',
    effect: 'degrade',
    applies: ({ target, engine }: Situation): boolean => !engine && target.address.transport !== 'file',
    words: 'there is no file to open',
  },
  {
    id: 'fdset-given',
    about: 'fdset',
    section: '5.3',
    effect: 'degrade',
    applies: ({ target, engine }: Situation): boolean => !engine && target.fdset !== undefined,
    words: 'the target is an fd set of the caller',
  },
  {
    id: 'fdset-connection',
    about: 'fdset',
    section: '5.3',
    effect: 'degrade',
    // A QEMU without file: gets a descriptor with a name (getfd), which every QEMU takes.
    applies: ({ qemu: { passesDescriptors, features } }: Situation): boolean =>
      !passesDescriptors || (features.fileTransport && !features.fdsets),
    words:
      'descriptors get to a QEMU that has add-fd, on Linux, over a unix socket that leads to QEMU itself',
  },
  {
    id: 'fdset-cannot-open',
    about: 'fdset',
    section: '5.3',
    effect: 'degrade',
    applies: ({ host, engine }: Situation): boolean => !engine && !host.openable.possible,
    words: ({ host }: Situation): string => `this process cannot open the file: ${host.openable.why}`,
  },
] as const;
