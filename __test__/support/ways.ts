import type { DirectIo, IoEngine } from '../../ts/index.ts';

/** A way that pages can take through the engine. */
export interface Way {
  readonly engine: Exclude<IoEngine, 'auto'>;
  readonly directIo: DirectIo;
}

export const WAYS: readonly Way[] = [
  { engine: 'io_uring', directIo: 'on' },
  { engine: 'io_uring', directIo: 'off' },
  { engine: 'threads', directIo: 'on' },
  { engine: 'threads', directIo: 'off' },
];
