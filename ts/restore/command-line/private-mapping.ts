import type { MemoryObject } from '../modes/mode.ts';
import { reserveFor } from './reserve.ts';

/**
 * Returns a memory object that shows a part of a file until the guest writes, page by page. QEMU maps the file privately
 * and read-only, so that neither the guest nor a device of QEMU's can write into it. `rom=off` says that the memory is
 * no ROM for all that.
 *
 * @param path of the file, as QEMU is to open it
 * @param offset of the part in the file, in bytes: a multiple of the file's page size
 * @param length of the part in bytes
 */
export function privateMapping(path: string, offset: number, length: number): MemoryObject {
  return {
    type: 'memory-backend-file',
    members: [
      ['mem-path', path],
      ['offset', String(offset)],
      ['share', 'off'],
      ['readonly', 'on'],
      ['rom', 'off'],
      ...reserveFor(length),
    ],
  };
}
