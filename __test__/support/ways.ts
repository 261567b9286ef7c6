import type { DirectIo, IoEngine } from '../../ts/index.ts';

/** A way that pages can take through the engine. */
export interface Way {
  readonly ioEngine: Exclude<IoEngine, 'auto'>;
  readonly directIo: DirectIo;
}

export const WAYS: readonly Way[] = [
  { ioEngine: 'io_uring', directIo: 'on' },
  { ioEngine: 'io_uring', directIo: 'off' },
  { ioEngine: 'threads', directIo: 'on' },
  { ioEngine: 'threads', directIo: 'off' },
];
