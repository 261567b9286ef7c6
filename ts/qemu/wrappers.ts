import { basename } from 'node:path';

/** Programs that close the descriptors beyond stderr before they start another program. */
const CLOSING = new Set(['sudo', 'doas', 'pkexec']);

/**
 * Finds the program among the words before QEMU's own that keeps descriptors from QEMU.
 * @param words the words of a command, the program first
 * @returns its name; undefined when there is none that is known for it
 */
export function closingWrapper(words: readonly string[]): string | undefined {
  const names = words.map((word) => basename(word));
  const qemu = names.findIndex((name) => name.startsWith('qemu'));
  return names.slice(0, qemu === -1 ? 1 : qemu).find((name) => CLOSING.has(name));
}
