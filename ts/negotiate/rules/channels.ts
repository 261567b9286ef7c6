import type { QemuFacts } from '../../qemu/qemu-facts.ts';
import type { Situation } from '../rule.ts';
import { transportOf } from './conditions.ts';

/** Obstacles to QEMU moving pages through several channels. */
export const CHANNEL_RULES = [
  {
    id: 'multifd-engine',
    about: 'multifd',
    section: '5.4',
    effect: 'degrade',
    applies: ({ engine }: Situation): boolean => engine,
    words: 'no memory goes through QEMU; the engine has channels of its own',
  },
  {
    id: 'multifd-missing',
    about: 'multifd',
    section: '6.1',
    effect: 'degrade',
    applies: ({ qemu }: Situation): boolean => !qemu.features.multifd,
    words: 'this QEMU has no multifd',
  },
  {
    id: 'multifd-needs-mapped-ram',
    about: 'multifd',
    section: '5.4',
    effect: 'degrade',
    applies: ({ target, mappedRam }: Situation): boolean => target.address.transport === 'file' && !mappedRam,
    words: 'several channels write to one file only with mapped-ram',
  },
  {
    id: 'multifd-transport',
    about: 'multifd',
    section: '5.4',
    effect: 'degrade',
    applies: ({ target: { address } }: Situation): boolean =>
      address.transport !== 'file' && (address.transport !== 'socket' || address.type === 'fd'),
    words: ({ target }: Situation): string => `${transportOf(target.address)} is one channel`,
  },
  {
    id: 'multifd-disk-may-fill',
    about: 'multifd',
    section: '7.1 14, 16',
    effect: 'degrade',
    applies: ({ request, engine, host, qemu }: Situation): boolean =>
      request.direction === 'save' && !engine && host.freeBytes < memoryOf(qemu),
    words: ({ host, qemu }: Situation): string =>
      `the disk has ${host.freeBytes} bytes left and the guest's memory is ${memoryOf(qemu)}: QEMU may die of a full disk when several channels write`,
  },
  {
    id: 'channels-need-multifd',
    about: 'multifd',
    section: '5.4',
    effect: 'refuse',
    code: 'ERR_MAPPED_RAM_INVALID_ARGUMENT',
    applies: ({ request: { channels, multifd }, engine }: Situation): boolean =>
      !engine && typeof channels === 'number' && channels > 1 && multifd === 'off',
    words: ({ request }: Situation): string => `${request.channels} channels of QEMU take multifd`,
  },
] as const;

function memoryOf({ memory }: QemuFacts): number {
  return memory.reduce((sum, { length }) => sum + length, 0);
}
