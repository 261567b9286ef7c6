import { obstacleTo } from '../../qemu/state/device-state-facts.ts';
import type { Situation } from '../rule.ts';

/** Obstacles to taking a guest out of QEMU's process: its device state alone, and its memory page by page. */
export const CAPTURE_RULES = [
  {
    id: 'capture-needs-descriptors',
    about: 'stateOnly',
    section: '4.4',
    effect: 'degrade',
    applies: ({ request, qemu }: Situation): boolean =>
      !isQemus(request) && (request.fdset === 'off' || !qemu.passesDescriptors || !qemu.features.fdsets),
    words: ({ request }: Situation): string =>
      `QEMU gets the file for its device state as a descriptor, and ${request.fdset === 'off' ? 'fdset is off' : 'none gets there over this connection'}`,
  },
  {
    id: 'capture-not-asked',
    about: 'stateOnly',
    section: '4.4',
    effect: 'degrade',
    applies: ({ capture }: Situation): boolean => capture === undefined,
    words: ({ request, qemu }: Situation): string => {
      if (isQemus(request)) return 'the writer qemu was asked for';
      return qemu.memory.length === 0
        ? 'this QEMU does not tell its RAM blocks'
        : 'QEMU was not asked whether its memory can be read';
    },
  },
  {
    id: 'capture-shares-nothing',
    about: 'stateOnly',
    section: '10',
    effect: 'degrade',
    applies: ({ request }: Situation): boolean => request.xIgnoreShared === 'on',
    words: 'x-ignore-shared is how QEMU leaves memory out, and the engine then writes all of it',
  },
  {
    id: 'xen-save-missing',
    about: 'stateOnly',
    section: '4.4',
    effect: 'degrade',
    applies: ({ capture }: Situation): boolean =>
      capture !== undefined && obstacleTo(capture.deviceState) !== undefined,
    words: ({ capture }: Situation): string =>
      (capture && obstacleTo(capture.deviceState)) ?? 'QEMU does not write device state alone',
  },
  {
    id: 'xen-save-leaves-out',
    about: 'stateOnly',
    section: '4.4',
    effect: 'degrade',
    applies: (situation: Situation): boolean => leftOut(situation) !== '',
    words: (situation: Situation): string => leftOut(situation),
  },
  {
    id: 'machine-pages-unknown',
    about: 'stateOnly',
    section: '4.4',
    effect: 'degrade',
    applies: ({ capture }: Situation): boolean =>
      capture !== undefined && (capture.machine === undefined || capture.machineProblem !== undefined),
    words: ({ capture }: Situation): string =>
      capture?.machineProblem ?? 'this QEMU does not tell which machine it is',
  },
  {
    id: 'engine-memory-unseen',
    about: 'stateOnly',
    section: '10',
    effect: 'degrade',
    applies: ({ capture }: Situation): boolean => typeof capture?.memory === 'string',
    words: ({ capture }: Situation): string =>
      typeof capture?.memory === 'string' ? capture.memory : 'its memory is not seen',
  },
  {
    id: 'engine-memory-unreadable',
    about: 'stateOnly',
    section: '10',
    effect: 'degrade',
    applies: ({ capture }: Situation): boolean => capture?.rights !== undefined,
    words: ({ capture }: Situation): string => {
      const { memory, pagemap } = capture?.rights ?? {};
      return `this process may not look into QEMU's memory: ${memory ?? pagemap ?? ''}`;
    },
  },
  {
    id: 'incremental-needs-clone',
    about: 'base',
    section: '13',
    effect: 'refuse',
    applies: (situation: Situation): boolean => problemOf(situation)?.rule === 'incremental-needs-clone',
    words: (situation: Situation): string => problemOf(situation)?.words ?? '',
  },
  {
    id: 'base-not-mapped',
    about: 'base',
    section: '13',
    effect: 'refuse',
    applies: (situation: Situation): boolean => problemOf(situation)?.rule === 'base-not-mapped',
    words: (situation: Situation): string => problemOf(situation)?.words ?? '',
  },
  {
    id: 'base-unfit',
    about: 'base',
    section: '13',
    effect: 'refuse',
    applies: (situation: Situation): boolean => problemOf(situation)?.rule === 'base-unfit',
    words: (situation: Situation): string => problemOf(situation)?.words ?? '',
  },
  {
    id: 'base-replaced',
    about: 'base',
    section: '13',
    effect: 'warn',
    applies: ({ capture }: Situation): boolean =>
      capture?.base !== undefined && 'path' in capture.base && capture.base.isTarget === true,
    words:
      "the snapshot takes the name of its own base: deltas that stand on the base can no longer be read, and this guest's next incremental save finds no base; give the snapshot another name",
  },
] as const;

/** Nobody asks what the engine could do, where QEMU is to write. */
function isQemus(request: Situation['request']): boolean {
  return request.direction === 'save' && request.writer === 'qemu';
}

/**
 * State that would be lost, in words. What the migration's capabilities bring along is put aside by every save into a
 * file, and is none.
 */
function leftOut({ capture }: Situation): string {
  if (capture === undefined) return '';
  const { liveState } = capture;
  if (liveState === undefined) return 'QEMU does not tell whether device state alone is all that there is';
  const lost = liveState.filter(({ kind }) => kind !== 'dirty-bitmaps' && kind !== 'block');
  return lost.length === 0
    ? ''
    : `device state alone leaves out ${lost.map(({ words }) => words).join(', ')}`;
}

function problemOf({ capture }: Situation): { readonly rule: string; readonly words: string } | undefined {
  const base = capture?.base;
  return base !== undefined && 'rule' in base ? base : undefined;
}
