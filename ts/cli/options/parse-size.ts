import bytes from 'bytes-iec';

import { UsageError } from '../usage-error.ts';

const NUMBER_AND_UNIT = /^(\d+(?:\.\d+)?)\s*([a-z]*)$/i;
const HEX = /^0x[0-9a-f]+$/i;

/**
 * A size in bytes: `4096`, `0x1000`, `64M` or `64MiB` (both 1024², as QEMU's are), `1.5G`.
 * @throws {UsageError} for `64MB`, which some take for 64 × 10⁶ and some for 64 × 2²⁰, and for all that is no size
 */
export function parseSize(option: string, text: string): number {
  if (HEX.test(text)) return wholeBytes(option, text, Number(text));
  const [, number = '', unit = ''] = NUMBER_AND_UNIT.exec(text) ?? [];
  if (/^[kmgtpe]b$/i.test(unit)) {
    const letter = unit.slice(0, 1).toUpperCase();
    throw new UsageError(
      `${option}: '${text}' is ambiguous (powers of 1000 or of 1024?); write ${number}${letter}iB, or the number of bytes`,
    );
  }
  const name = unit === '' ? 'B' : unit.replace(/^([kmgtpe])(?:ib)?$/i, '$1iB');
  const size = /^(?:[kmgtpe]iB|B)$/i.test(name) ? bytes.parse(`1${name}`) : null;
  if (number === '' || size === null) {
    throw new UsageError(`${option} must be a size such as 64M, 1GiB or a number of bytes, not '${text}'`);
  }
  return wholeBytes(option, text, Number(number) * size);
}

function wholeBytes(option: string, text: string, size: number): number {
  if (Number.isSafeInteger(size)) return size;
  const what = size > Number.MAX_SAFE_INTEGER ? 'less than 8 PiB' : 'a whole number of bytes';
  throw new UsageError(`${option} must be ${what}, not '${text}'`);
}
