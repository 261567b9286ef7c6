import { readdir } from 'node:fs/promises';

import test from 'ava';

import { bench } from '../../../ts/bench/bench.ts';
import { comparePairs } from '../../../ts/bench/sweep/compare-pairs.ts';
import { fixedSettings, sweepSettings } from '../../../ts/bench/sweep/sweep-settings.ts';
import { temporaryDirectory } from '../../support/temporary.ts';
import { seeded } from '../noisy-reports.ts';

const MIB = 2 ** 20;
/** The most settings that the documentation promises. */
const MOST = 52;

test('a sweep tries all of channels, depths and sizes, each once, and is short', (t) => {
  const settings = sweepSettings({}, true, 64);
  t.is(settings.length, MOST);
  t.is(new Set(settings.map((one) => JSON.stringify(one))).size, MOST);
  t.deepEqual([...new Set(settings.map(({ channels }) => channels))], [1, 2, 4, 8, 16]);
  t.true(
    settings.every(
      ({ channels, queueDepth = 1, requestSize }) => channels * queueDepth * requestSize <= 256 * MIB,
    ),
  );
  // Rings with so many channels want as many processors; threads wait, and do not.
  const few = sweepSettings({}, true, 2);
  t.true(few.length < MOST);
  t.deepEqual(
    [...new Set(few.filter(({ channels }) => channels === 16).map(({ ioEngine }) => ioEngine))],
    ['threads'],
  );
  t.true(sweepSettings({}, false, 2).every(({ ioEngine }) => ioEngine === 'threads'));
});

test('what was given is not varied, and is named', (t) => {
  const channels = sweepSettings({ channels: 3, directIo: 'off' }, true, 2);
  t.true(channels.length > 5 && channels.every((one) => one.channels === 3));
  const depths = sweepSettings({ queueDepth: 7, ioEngine: 'io_uring' }, true, 2);
  t.true(depths.length > 5 && depths.every((one) => one.queueDepth === 7 && one.ioEngine === 'io_uring'));
  const sizes = sweepSettings({ requestSize: 65_536 }, true, 2);
  t.true(sizes.length > 5 && sizes.every((one) => one.requestSize === 65_536));
  t.deepEqual(sweepSettings({ ioEngine: 'threads', channels: 3, requestSize: 65_536 }, true, 2), [
    { ioEngine: 'threads', channels: 3, requestSize: 65_536 },
  ]);
  t.deepEqual(fixedSettings({ channels: 3, queueDepth: undefined, ioEngine: 'auto', directIo: 'off' }), {
    channels: 3,
    directIo: 'off',
  });
});

test('the defaults are as good as any unless nearly all fresh rounds say that they are slower', (t) => {
  const usual = [100, 100, 100, 100, 100, 100, 100, 100];
  t.like(comparePairs([80, 81, 82, 80, 81, 82, 80, 300], usual), { rounds: 8, isClear: true });
  t.is(comparePairs([80, 80, 80, 80, 80, 80, 80, 80], usual).behind, 0.25);
  t.false(comparePairs([80, 81, 82, 80, 81, 82, 200, 300], usual).isClear);
  t.false(comparePairs(usual, usual).isClear);
  t.false(comparePairs([99.9, 99.9, 99.9, 99.9, 99.9, 99.9, 99.9, 99.9], usual).isClear);
  t.like(comparePairs([120, 121, 122, 120, 121, 122, 120, 121], usual), { isClear: false });
});

test('settings that are no better are called better in one of twenty sweeps at most', (t) => {
  const random = seeded(5);
  const time = (): number => 100 * Math.exp(0.2 * (random() + random() - 1));
  const times = (): readonly number[] => Array.from({ length: 8 }, time);
  const alarms = Array.from({ length: 2000 }, () => comparePairs(times(), times()).isClear).filter(Boolean);
  t.true(alarms.length < 0.05 * 2000, `${alarms.length}`);
});

test.serial('a sweep keeps what is given, and measures its fastest again beside the defaults', async (t) => {
  process.env['MAPPED_RAM_QEMU'] = '/nonexistent/qemu';
  await using dir = await temporaryDirectory();
  const turns = new Map<string, string[]>();
  const { sweep } = await bench({
    directory: dir.path,
    size: 16 * MIB,
    rounds: 1,
    work: ['save'],
    sweep: true,
    transfer: { ioEngine: 'threads', requestSize: MIB },
    onProgress: ({ title, contender = '' }) => turns.set(title, [...(turns.get(title) ?? []), contender]),
  });
  t.deepEqual(sweep?.fixed, { ioEngine: 'threads', requestSize: MIB });
  t.is(sweep?.size, 16 * MIB);
  t.deepEqual(
    sweep?.points.map(({ ioEngine, channels, requestSize }) => [ioEngine, channels, requestSize]),
    [1, 2, 4, 8, 16].map((channels) => ['threads', channels, MIB]),
  );
  const [found] = sweep?.best ?? [];
  const again = turns.get('fastest of the sweep of save against the defaults');
  if (found?.comparison === undefined) {
    t.deepEqual(found?.best, found?.defaults);
    t.is(again, undefined);
  } else {
    t.is(found.comparison.rounds, 8);
    // One round warms up.
    t.is(again?.length, 2 * 9);
    t.is(again?.filter((name) => name === 'defaults').length, 9);
  }
  t.deepEqual(await readdir(dir.path), []);
});
