import type { DirectIo, EngineChoice } from '../../ts/index.ts';

/** The ways pages can take through the engine. */
export interface Way {
  readonly engine: Exclude<EngineChoice, 'auto'>;
  readonly directIo: DirectIo;
}

export const WAYS: readonly Way[] = [
  { engine: 'io_uring', directIo: 'on' },
  { engine: 'io_uring', directIo: 'off' },
  { engine: 'threads', directIo: 'on' },
  { engine: 'threads', directIo: 'off' },
];
