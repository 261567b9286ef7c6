import { CAPABILITY_BASE } from './constants.ts';

/**
 * Every migration capability that a released QEMU knows, in QEMU's own order. A stream names only the capabilities that
 * both sides must agree on: `x-ignore-shared` and `mapped-ram` (docs/format.md §1.2).
 */
const KNOWN: ReadonlySet<string> = new Set([
  'xbzrle',
  'rdma-pin-all',
  'auto-converge',
  'zero-blocks',
  'compress',
  'events',
  'postcopy-ram',
  'x-colo',
  'release-ram',
  'block',
  'return-path',
  'pause-before-switchover',
  'multifd',
  'dirty-bitmaps',
  'postcopy-blocktime',
  'late-block-activate',
  'x-ignore-shared',
  'validate-uuid',
  'background-snapshot',
  'zero-copy-send',
  'postcopy-preempt',
  'switchover-ack',
  'dirty-limit',
  'mapped-ram',
]);

/** Tells whether a reader of this package can read past a capability: QEMU's, and this package's own. */
export function isKnownCapability(name: string): boolean {
  return KNOWN.has(name) || name === CAPABILITY_BASE;
}
