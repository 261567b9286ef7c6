import test from 'ava';

import { KVM_AVAILABLE } from './qemu.ts';
import { qemuTest } from './qemu-required.ts';

/** A small region: where KVM emulates the guest's code, a generation must not take seconds. */
export const KVM_REGION: { readonly length: number } = { length: 512 * 1024 };

/** A `qemuTest` that is skipped on a host without KVM. */
export function kvmTest(title: string, implementation: Parameters<typeof qemuTest>[1]): void {
  if (KVM_AVAILABLE) qemuTest(title, implementation);
  else test.serial.skip(title, implementation);
}
