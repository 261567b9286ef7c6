import { MappedRamError } from '../errors.ts';

// ignoreBOM keeps a leading U+FEFF, so that a name read is a name written.
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const encoder = new TextEncoder();

// C0, DEL and C1: QEMU writes none of them, and names end up on terminals.
// oxlint-disable-next-line no-control-regex
const CONTROL = /[\u0000-\u001f\u007f-\u009f]/u;

/**
 * Decodes a name as QEMU stores it: UTF-8 without a terminator.
 * @throws {MappedRamError} ERR_MAPPED_RAM_CORRUPT for invalid UTF-8 and for control characters
 */
export function decodeName(bytes: Uint8Array, what: string, path: string, offset: number): string {
  let text: string;
  try {
    text = decoder.decode(bytes);
  } catch (cause) {
    throw new MappedRamError('ERR_MAPPED_RAM_CORRUPT', `${what} is not valid UTF-8`, { path, offset, cause });
  }
  if (CONTROL.test(text)) {
    const found = JSON.stringify(text);
    throw new MappedRamError('ERR_MAPPED_RAM_CORRUPT', `${what} has control characters`, {
      path,
      offset,
      found,
    });
  }
  return text;
}

/**
 * Encodes a name.
 * @param max longest encoded form in bytes
 * @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_ARGUMENT when the text is empty, too long, has control characters or
 *   unpaired surrogates
 */
export function encodeName(text: string, what: string, max = 255, min = 1): Uint8Array {
  const bytes = encoder.encode(text);
  if (bytes.length < min || bytes.length > max) {
    throw new MappedRamError('ERR_MAPPED_RAM_INVALID_ARGUMENT', `length of ${what}`, {
      expected: `${min} to ${max} bytes`,
      found: bytes.length,
    });
  }
  if (CONTROL.test(text) || decoder.decode(bytes) !== text) {
    const found = JSON.stringify(text);
    throw new MappedRamError('ERR_MAPPED_RAM_INVALID_ARGUMENT', `${what} has unusable characters`, { found });
  }
  return bytes;
}
