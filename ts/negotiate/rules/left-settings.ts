import type { Situation } from '../rule.ts';

/** Parameters, and x-ignore-shared, that others have set in QEMU and that do not go with the request. */
export const LEFT_SETTING_RULES = [
  {
    id: 'x-ignore-shared-left-on',
    about: 'xIgnoreShared',
    section: '7.1 8',
    effect: 'override',
    applies: ({ request, qemu, engine }: Situation): boolean =>
      !engine &&
      request.xIgnoreShared !== 'on' &&
      request.direction === 'save' &&
      qemu.capabilities.get('x-ignore-shared') === true,
    words: 'with x-ignore-shared the file would lack the shared memory, or the save fail',
    set: { capability: 'x-ignore-shared', state: false },
  },
  {
    id: 'compression-trap',
    about: 'qemu',
    section: '7.1 4, 10',
    effect: 'override',
    applies: (situation: Situation): boolean =>
      isFile(situation) && isOther(situation, 'multifd-compression', 'none'),
    words:
      'multifd-compression and mapped-ram exclude each other: saves are refused, loads crash, and no parameter can be changed any more',
    set: { parameter: 'multifd-compression', value: 'none' },
  },
  {
    id: 'tls',
    about: 'qemu',
    section: '6.2',
    effect: 'override',
    applies: (situation: Situation): boolean => isFile(situation) && isOther(situation, 'tls-creds', ''),
    words: 'a file is not encrypted: mapped-ram and tls-creds exclude each other',
    set: { parameter: 'tls-creds', value: '' },
  },
  {
    id: 'cpr-mode',
    about: 'qemu',
    section: '5.4',
    effect: 'override',
    applies: (situation: Situation): boolean => isFile(situation) && isOther(situation, 'mode', 'normal'),
    words: 'the cpr modes hand memory over in place instead of saving it',
    set: { parameter: 'mode', value: 'normal' },
  },
  {
    id: 'max-bandwidth',
    about: 'qemu',
    section: '7.1 12',
    effect: 'override',
    applies: ({ request, qemu }: Situation): boolean =>
      request.direction === 'save' &&
      request.maxBandwidth === undefined &&
      qemu.parameters.get('max-bandwidth') !== 0,
    words: ({ qemu }: Situation): string =>
      `max-bandwidth (${String(qemu.parameters.get('max-bandwidth'))} bytes per second) holds back files, too`,
    set: { parameter: 'max-bandwidth', value: 0 },
  },
] as const;

/** True when QEMU writes or reads a file. */
export function isFile({ target, engine }: Situation): boolean {
  return engine || target.address.transport === 'file';
}

/** True when this QEMU has the parameter and it is set to another value. */
function isOther({ qemu }: Situation, parameter: string, value: string): boolean {
  return qemu.parameters.has(parameter) && qemu.parameters.get(parameter) !== value;
}
