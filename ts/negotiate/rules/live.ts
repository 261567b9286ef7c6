import type { Situation } from '../rule.ts';

/** Obstacles to a save during which the guest goes on, and doubts about one. */
export const LIVE_RULES = [
  {
    id: 'live-needs-mapped-ram',
    about: 'live',
    section: '4.1',
    effect: 'degrade',
    applies: ({ engine, mappedRam }: Situation): boolean => !engine && !mappedRam,
    words:
      'in a plain stream every page would stand as often as it was sent, without end; mapped-ram has one place for it',
  },
  {
    id: 'live-guest-stands-still',
    about: 'live',
    section: '4.1',
    effect: 'degrade',
    applies: ({ request, qemu }: Situation): boolean =>
      request.direction === 'save' && qemu.runState !== 'running',
    words: ({ qemu }: Situation): string =>
      `it means nothing for a guest that does not run (${qemu.runState}): no pass is needed but one`,
  },
  {
    id: 'live-without-kvm',
    about: 'live',
    section: '4.1',
    effect: 'warn',
    applies: ({ live, kvm }: Situation): boolean => live && kvm !== true,
    words: ({ kvm }: Situation): string =>
      `${kvm === undefined ? 'QEMU does not say that KVM runs the guest' : 'KVM does not run the guest'}; under TCG a live save may miss what the guest writes to a page, if the vCPU's thread is without a processor in the middle of a store`,
  },
] as const;
