import { isComing, isUnderWay } from '../../qemu/migration-info.ts';
import { type FoundBase, isComingBase } from '../capture/found-base.ts';
import type { Situation } from '../rule.ts';

/** States of QEMU that leave no room for a save or a restore. */
export const QEMU_STATE_RULES = [
  {
    id: 'blocked',
    about: 'qemu',
    section: '6.3',
    effect: 'refuse',
    applies: ({ request, qemu }: Situation): boolean =>
      request.direction === 'save' && qemu.blockedReasons.length > 0,
    words: ({ qemu }: Situation): string =>
      `QEMU says that this guest cannot be saved: ${qemu.blockedReasons.join('; ')}`,
  },
  {
    id: 'migration-running',
    about: 'qemu',
    section: '6.3',
    effect: 'refuse',
    code: 'ERR_MAPPED_RAM_BUSY',
    applies: ({ request, qemu, capture }: Situation): boolean =>
      request.direction === 'save' && isUnderWay(qemu.migrationStatus) && !isComingBase(capture?.base),
    words: ({ qemu: { migrationStatus: status }, capture }: Situation): string =>
      isComing(status)
        ? `a migration is under way already (${status}): until a guest has all of its memory, only what differs from its snapshot can be saved${whyNoBase(capture?.base)}`
        : `a migration is under way already (${status})`,
  },
  {
    id: 'disk-in-use',
    about: 'migration',
    section: '7.1 17',
    effect: 'refuse',
    code: 'ERR_MAPPED_RAM_BUSY',
    // Device state alone leaves the disks to QEMU.
    applies: ({ request, stateOnly, engine, diskUsers }: Situation): boolean =>
      request.direction === 'save' && !(stateOnly && engine) && diskUsers.some(({ hinders }) => hinders),
    words: ({ diskUsers, stateOnly, stateOnlyWhy }: Situation): string =>
      `QEMU ends a migration by giving its disks up, and cannot while something else writes to them: ${hindering(diskUsers)}; end that first (job-cancel, block-export-del), or let the engine save without a migration${stateOnly ? '' : `, which is not done because ${stateOnlyWhy}`}`,
  },
  {
    id: 'postmigrate',
    about: 'qemu',
    section: '4.1',
    effect: 'refuse',
    // Without a migration QEMU could be asked; but another one may have the disks by now, and memory alone is no guest.
    applies: ({ request, qemu }: Situation): boolean =>
      request.direction === 'save' && qemu.runState === 'postmigrate',
    words: ({ asleep }: Situation): string =>
      `the guest stands still since its last save, and QEMU saves no such guest; ${wayOut(asleep)}`,
  },
  {
    id: 'only-incoming',
    about: 'qemu',
    section: '6.4',
    effect: 'refuse',
    applies: ({ request, qemu }: Situation): boolean =>
      request.direction === 'save' && qemu.runState === 'inmigrate',
    words: 'there is no guest yet: this QEMU waits for one to be restored',
  },
  {
    id: 'not-incoming',
    about: 'qemu',
    section: '6.4',
    effect: 'refuse',
    applies: ({ request, qemu }: Situation): boolean =>
      request.direction === 'restore' && qemu.runState !== 'inmigrate',
    words: ({ qemu }: Situation): string =>
      `QEMU was not started with -incoming defer, or has a guest already (${qemu.runState})`,
  },
  {
    id: 'incoming-once',
    about: 'qemu',
    section: '7.1 11',
    effect: 'refuse',
    applies: ({ request, qemu }: Situation): boolean =>
      request.direction === 'restore' && qemu.runState === 'inmigrate' && qemu.migrationStatus !== 'none',
    words: ({ qemu }: Situation): string =>
      `this QEMU has tried to restore a guest before (${qemu.migrationStatus}), and cannot try twice`,
  },
] as const;

/** QEMU ends when a sleeping guest is to go on after a save (docs/format.md §4.3). */
function wayOut(asleep: boolean | undefined): string {
  if (asleep === true)
    return 'it is asleep, and QEMU would end if it were to go on: only quit and system_reset are left';
  return asleep === false
    ? 'let it go on first (cont)'
    : 'let it go on first (cont), unless it was asleep when it was saved: QEMU would end then';
}

function whyNoBase(base: FoundBase | undefined): string {
  return base !== undefined && 'words' in base
    ? `: ${base.words}`
    : ", by the process that brings it (base: 'auto')";
}

function hindering(users: Situation['diskUsers']): string {
  return users.flatMap(({ words, hinders }) => (hinders ? [words] : [])).join(', ');
}
