import type { SaveOptions } from '../../ts/index.ts';
import type { Writer } from '../../ts/negotiate/request.ts';
import type { GuestSetup } from '../support/qemu.ts';

/** A way to save a guest. */
export interface Way {
  /** `engine` reads shared files, `capture` QEMU's process. */
  readonly way: Writer | 'capture';
  readonly writer: Writer;
  /** A guest that is saved this way. */
  readonly setup: GuestSetup;
  /** Options that choose the way. */
  readonly options: Pick<SaveOptions, 'writer' | 'xIgnoreShared'>;
  /** The run state of a guest that stands still after its save. */
  readonly stopped: string;
}

export const WAYS: readonly Way[] = [
  {
    way: 'qemu',
    writer: 'qemu',
    setup: { backend: 'ram' },
    options: { writer: 'qemu' },
    stopped: 'postmigrate',
  },
  {
    way: 'engine',
    writer: 'engine',
    setup: { backend: 'file', share: true },
    // Without this the engine would take shared memory, too, out of QEMU's process.
    options: { writer: 'engine', xIgnoreShared: 'on' },
    stopped: 'postmigrate',
  },
  {
    way: 'capture',
    writer: 'engine',
    setup: { backend: 'ram' },
    options: { writer: 'engine' },
    // No migration takes place, so QEMU does not know of the save.
    stopped: 'paused',
  },
];
