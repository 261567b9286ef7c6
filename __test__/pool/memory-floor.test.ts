import test from 'ava';

import { MemoryFloor } from '../../ts/pool/memory-floor.ts';

test('a pool is held back below the floor and released above it, and each is told once', (t) => {
  let bytes = 100;
  const floor = new MemoryFloor(64, () => ({ bytes, limitedBy: 'the host' }));
  t.is(floor.look(), undefined);
  t.is(floor.heldBack, undefined);
  bytes = 63;
  t.is(floor.look(), 'held-back');
  t.is(floor.look(), undefined);
  t.is(floor.heldBack, 'the host has 63 bytes of memory left, and 64 are to stay free');
  bytes = 64;
  t.is(floor.look(), 'released');
  t.is(floor.heldBack, undefined);
});

test('a host that does not tell is no obstacle', (t) => {
  const floor = new MemoryFloor(Number.MAX_SAFE_INTEGER, () => undefined);
  t.is(floor.look(), undefined);
  t.is(floor.heldBack, undefined);
});
