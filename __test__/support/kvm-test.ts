import test from 'ava';

import { KVM_AVAILABLE } from './qemu.ts';
import { qemuTest } from './qemu-required.ts';

/** Small, for a KVM that emulates the guest's code: one generation must not take seconds. */
export const KVM_REGION: { readonly length: number } = { length: 512 * 1024 };

/** As `qemuTest`; skipped where there is no KVM. */
export function kvmTest(title: string, implementation: Parameters<typeof qemuTest>[1]): void {
  if (KVM_AVAILABLE) qemuTest(title, implementation);
  else test.serial.skip(title, implementation);
}
