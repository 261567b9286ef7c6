import type { Situation } from '../rule.ts';

/** Rules for the form of the memory in the file: mapped-ram, x-ignore-shared, or neither. */
export const FORMAT_RULES = [
  {
    id: 'mapped-ram-missing',
    about: 'mappedRam',
    section: '6.1',
    effect: 'degrade',
    applies: ({ qemu }: Situation): boolean => !qemu.features.mappedRam,
    words: ({ qemu: { version } }: Situation): string =>
      `QEMU ${version.major}.${version.minor} has no mapped-ram`,
  },
  {
    id: 'file-form',
    about: 'target',
    section: '1.2',
    effect: 'refuse',
    applies: ({ snapshot, request, qemu, engine }: Situation): boolean =>
      !engine &&
      snapshot !== undefined &&
      (snapshot.capabilities.includes('mapped-ram')
        ? request.mappedRam === 'off' || !qemu.features.mappedRam
        : request.mappedRam === 'on'),
    words: ({ snapshot }: Situation): string =>
      snapshot?.capabilities.includes('mapped-ram') === true
        ? 'the file is a mapped-ram file, which takes a QEMU with mapped-ram on'
        : 'the file is a plain stream, which takes a QEMU with mapped-ram off',
  },
  {
    id: 'x-ignore-shared-missing',
    about: 'xIgnoreShared',
    section: '6.1',
    effect: 'degrade',
    applies: ({ qemu }: Situation): boolean => !qemu.features.xIgnoreShared,
    words: 'this QEMU has no x-ignore-shared',
  },
  {
    id: 'x-ignore-shared-broken',
    about: 'xIgnoreShared',
    section: '7.1 8',
    effect: 'degrade',
    applies: ({ qemu, mappedRam }: Situation): boolean => mappedRam && !qemu.features.mappedRamIgnoresShared,
    words: 'before QEMU 11.0 a mapped-ram file without the shared memory cannot be written or read',
  },
  {
    id: 'file-ignores-shared',
    about: 'target',
    section: '1.2',
    effect: 'refuse',
    applies: ({ snapshot, request, qemu, engine }: Situation): boolean =>
      !engine &&
      snapshot !== undefined &&
      (snapshot.capabilities.includes('x-ignore-shared')
        ? request.xIgnoreShared === 'off' ||
          !qemu.features.xIgnoreShared ||
          (snapshot.capabilities.includes('mapped-ram') && !qemu.features.mappedRamIgnoresShared)
        : request.xIgnoreShared === 'on'),
    words: ({ snapshot }: Situation): string =>
      snapshot?.capabilities.includes('x-ignore-shared') === true
        ? 'the file was saved with x-ignore-shared, which this QEMU has to understand (with mapped-ram: 11.0) and have on'
        : 'the file was saved without x-ignore-shared, so QEMU has to have it off',
  },
  {
    id: 'shared-memory-left-out',
    about: 'xIgnoreShared',
    section: '10',
    effect: 'warn',
    applies: ({ request, engine }: Situation): boolean =>
      request.direction === 'save' && !engine && request.xIgnoreShared === 'on',
    words: 'the file will not hold the memory that QEMU shares in files: keep those with it',
  },
] as const;
