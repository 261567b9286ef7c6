import type { Writer } from '../../ts/negotiate/request.ts';
import type { GuestSetup } from '../support/qemu.ts';

/** Each writer, with a guest for which it is the one that `auto` chooses. */
export const WRITERS: readonly { readonly writer: Writer; readonly setup: GuestSetup }[] = [
  { writer: 'qemu', setup: { backend: 'ram' } },
  { writer: 'engine', setup: { backend: 'file', share: true } },
];
