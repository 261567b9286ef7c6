import { MappedRamError } from '../../errors.ts';
import { assertTexts } from '../../io/assert-options.ts';
import { assertWord } from '../../io/option-words.ts';
import { reserveFor } from './reserve.ts';

/**
 * The kind of memory that a guest gets: QEMU's own (`anonymous`); a memfd, which others may share; huge pages of the
 * host's default size, in a memfd; or a file that QEMU makes in a directory, which is on tmpfs or a hugetlbfs mount.
 */
export type MemoryKind = 'anonymous' | 'memfd' | 'hugepages' | { readonly path: string };
const WORDS = ['anonymous', 'memfd', 'hugepages'] as const;

/** @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_ARGUMENT for what is no kind of memory */
export function assertMemoryKind(kind: MemoryKind): void {
  if (typeof kind === 'string') {
    assertWord('memory', kind, WORDS);
    return;
  }
  if (typeof kind !== 'object' || kind === null) {
    throw new MappedRamError('ERR_MAPPED_RAM_INVALID_ARGUMENT', 'memory', {
      expected: `${WORDS.join(', ')} or { path }`,
      found: String(kind),
    });
  }
  assertTexts('memory.path', [kind.path]);
}

/** A `-object memory-backend-…` without its id and size. */
interface ObjectOfKind {
  readonly type: string;
  readonly members: readonly (readonly [key: string, value: string])[];
}

/** The object that brings memory of a kind. @param length bytes */
export function memoryObjectOf(kind: MemoryKind, length: number): ObjectOfKind {
  if (kind === 'anonymous') return { type: 'memory-backend-ram', members: reserveFor(length) };
  if (typeof kind === 'object') {
    return {
      type: 'memory-backend-file',
      members: [
        ['mem-path', kind.path],
        ['share', 'on'],
      ],
    };
  }
  const pages = kind === 'hugepages' ? ([['hugetlb', 'on']] as const) : [];
  return { type: 'memory-backend-memfd', members: [['share', 'on'], ...pages] };
}
