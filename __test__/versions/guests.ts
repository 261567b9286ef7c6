import { MappedRamError } from '../../ts/errors.ts';
import { verify } from '../../ts/verify/verify.ts';
import type { GuestSetup } from '../support/qemu.ts';
import { binaryOf, I440FX, Q35, type Version } from './qemus.ts';
import { no, type Outcome } from './table.ts';

/** A guest that the engine can save: its memory is in a shared file. */
export function sharedGuest(version: Version, memPathDir?: string): GuestSetup {
  const memory = { memoryMiB: 64, backend: 'file', share: true, ...(memPathDir && { memPathDir }) } as const;
  return { binary: binaryOf(version), machine: Q35, ...memory };
}

/** A guest that only QEMU can save, with the devices that QEMU adds on its own. */
export function privateGuest(version: Version): GuestSetup {
  return { binary: binaryOf(version), machine: I440FX, memoryMiB: 64, defaults: true };
}

/** Verifies a snapshot, and returns the words of what is wrong. */
export async function errorsIn(path: string): Promise<readonly string[]> {
  const { findings } = await verify(path);
  return findings.filter(({ severity }) => severity === 'error').map(({ message }) => message);
}

/** Returns the outcome of something that was refused; any other failure is thrown. */
export function refusal(error: unknown): Outcome {
  if (error instanceof MappedRamError && error.code === 'ERR_MAPPED_RAM_UNSUPPORTED') {
    // The reason is the same for versions that lack the same.
    return no(error.shortMessage.replace(/QEMU \d+\.\d+ has no/, 'this QEMU has no'));
  }
  throw error;
}
