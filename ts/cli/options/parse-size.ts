import { UsageError } from '../exit-codes.ts';

const UNITS = 'KMGTPE';
const NUMBER_AND_UNIT = new RegExp(`^(\\d+(?:\\.\\d+)?)\\s*(?:([${UNITS}])(i?B)?|B)?$`, 'i');
const HEX = /^0x[0-9a-f]+$/i;

/**
 * Parses a size in bytes: `4096`, `0x1000`, `64M` or `64MiB` (both 1024², as QEMU's are), `1.5G`.
 * @throws {UsageError} for `64MB`, which some take for 64 × 10⁶ and some for 64 × 2²⁰, and for any text that is no size
 */
export function parseSize(option: string, text: string): number {
  if (HEX.test(text)) return wholeBytes(option, text, Number(text));
  const [found, number = '', letter = '', suffix = ''] = NUMBER_AND_UNIT.exec(text) ?? [];
  if (found === undefined) {
    throw new UsageError(`${option} must be a size such as 64M, 1GiB or a number of bytes, not '${text}'`);
  }
  const unit = letter.toUpperCase();
  if (suffix.length === 1) {
    throw new UsageError(
      `${option}: '${text}' is ambiguous (powers of 1000 or of 1024?); write ${number}${unit}iB, or the number of bytes`,
    );
  }
  const power = unit === '' ? 0 : UNITS.indexOf(unit) + 1;
  return wholeBytes(option, text, Number(number) * 1024 ** power);
}

function wholeBytes(option: string, text: string, size: number): number {
  if (Number.isSafeInteger(size)) return size;
  const what = size > Number.MAX_SAFE_INTEGER ? 'less than 8 PiB' : 'a whole number of bytes';
  throw new UsageError(`${option} must be ${what}, not '${text}'`);
}
