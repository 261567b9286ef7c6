import { open } from 'node:fs/promises';

import { MappedRamError, systemCode } from '../errors.ts';
import { buildGuest, type GuestOptions } from './build-guest.ts';

/** SeaBIOS boots no ATA disk smaller than one cylinder of the geometry it assumes (504 KiB). */
export const GUEST_DISK_SIZE: number = 1024 * 1024;

/**
 * Writes the built-in guest as a raw disk image; everything but the first sector is a hole. Use it with `-drive
 * if=ide,format=raw,file=…` and pc or q35, or as a virtio disk (which may be read-only).
 *
 * @throws {MappedRamError} as {@link buildGuest}; ERR_MAPPED_RAM_EXISTS when the file exists; ERR_MAPPED_RAM_IO
 */
export async function writeGuestDisk(path: string, options: GuestOptions = {}): Promise<void> {
  const sector = buildGuest(options);
  try {
    const file = await open(path, 'wx');
    try {
      await file.writeFile(sector);
      await file.truncate(GUEST_DISK_SIZE);
    } finally {
      await file.close();
    }
  } catch (cause) {
    const exists = systemCode(cause) === 'EEXIST';
    throw new MappedRamError(
      exists ? 'ERR_MAPPED_RAM_EXISTS' : 'ERR_MAPPED_RAM_IO',
      "cannot write the guest's disk",
      { path, cause },
    );
  }
}
