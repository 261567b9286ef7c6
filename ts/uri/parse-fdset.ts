import { C_BLANKS } from './parse-size.ts';

const PREFIX = '/dev/fdset/';
const NUMBER = new RegExp(`^${C_BLANKS}[+-]?\\d+$`);
const MAX_FDSET = 2 ** 31 - 1;

/**
 * The number N of a filename `/dev/fdset/N` (docs/format.md §5.3). QEMU takes the name for no file, but for the fd set
 * that was filled with `add-fd`. Blanks, a sign and leading zeros may stand before the number, as QEMU allows.
 *
 * @returns 0 to 2^31-1, or undefined when the name stands for a file, or begins like an fd set and is none
 */
export function parseFdset(filename: string): number | undefined {
  if (!filename.startsWith(PREFIX)) return undefined;
  const digits = filename.slice(PREFIX.length);
  if (!NUMBER.test(digits)) return undefined;
  const fdset = Number(digits);
  if (fdset < 0 || fdset > MAX_FDSET) return undefined;
  return fdset === 0 ? 0 : fdset;
}
