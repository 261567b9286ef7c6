import type { Writer } from '../../ts/negotiate/request.ts';
import type { GuestSetup } from '../support/qemu.ts';

/** Each writer, with a guest for which `auto` chooses it. */
export const WRITERS: readonly { readonly writer: Writer; readonly setup: GuestSetup }[] = [
  { writer: 'qemu', setup: { backend: 'ram' } },
  { writer: 'engine', setup: { backend: 'file', share: true } },
];
