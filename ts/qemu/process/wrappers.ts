import { basename } from 'node:path';

/** Programs that close the descriptors beyond stderr before they start another program. */
const CLOSING = new Set(['sudo', 'doas', 'pkexec']);

/** Their options that name another user than root. */
const OTHER_USER = /^(?:-u|--user)/;

export interface ClosingWrapper {
  readonly program: string;
  /** True when QEMU runs as root, which opens what any process has open. */
  readonly isRoot: boolean;
}

/**
 * Finds the program among the words before QEMU's own that keeps descriptors from QEMU.
 * @param words the words of a command, the program first
 * @returns undefined when there is none that is known for it
 */
export function closingWrapper(words: readonly string[]): ClosingWrapper | undefined {
  const names = words.map((word) => basename(word));
  const qemu = names.findIndex((name) => name.startsWith('qemu'));
  const before = names.slice(0, qemu === -1 ? 1 : qemu);
  const program = before.find((name) => CLOSING.has(name));
  return program === undefined
    ? undefined
    : { program, isRoot: !before.some((word) => OTHER_USER.test(word)) };
}
