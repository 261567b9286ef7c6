import test, { type ExecutionContext } from 'ava';

import type { TransferReport } from '../../ts/engine/transfer-options.ts';
import { probe } from '../../ts/index.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { gains, limitsOf, offences, type Counts, type Part } from './limits.ts';
import { beyond, countSystemCalls, straceMissing } from './system-calls.ts';
import { BLOCK, PATTERN_NAMES, runTransfers, writeFiles, type Way } from './transfers.ts';

const WAYS: readonly Way[] = [
  { ioEngine: 'io_uring', directIo: 'on' },
  { ioEngine: 'io_uring', directIo: 'off' },
  { ioEngine: 'threads', directIo: 'on' },
  { ioEngine: 'threads', directIo: 'off' },
];

/**
 * A call of io_uring_enter starts a request at least, or gets the end of one at least. How many it starts or gets
 * depends on the disk, so these calls have this bound; every other count is exact.
 */
const MOST_ENTERS_PER_REQUEST = 2;

type Implementation = (t: ExecutionContext) => Promise<void>;

const { ioUring, directIo } = probe();
const missing = ioUring.why ?? directIo.why;
countTest('requests, their bytes and their submissions do not grow', missing, async (t) => {
  const found: Record<string, Counts> = {};
  for (const pattern of PATTERN_NAMES) {
    await using dir = await temporaryDirectory();
    const files = await writeFiles(dir, pattern);
    for (const way of WAYS) {
      for (const [work, report] of await runTransfers(dir, files, way)) {
        const name = `${work}, ${pattern}, ${way.ioEngine}, direct ${way.directIo}`;
        found[name] = countsOf(t, name, report);
      }
    }
  }
  compare(t, 'transfers', found);
});

countTest('system calls do not grow', missing ?? straceMissing(), async (t) => {
  await using dir = await temporaryDirectory();
  await using shared = await temporaryDirectory('/dev/shm');
  const { state, ram, changedRam } = await writeFiles(dir, 'halfZero');
  // Shared memory is written from where it lies; other memory is copied.
  const full = await writeFiles(shared, 'full');
  const log = dir.file('strace');
  const base = countSystemCalls(['--version'], log);
  const found: Record<string, Counts> = {};
  for (const ioEngine of ['io_uring', 'threads']) {
    const [left, right] = [dir.file(`${ioEngine}.mr`), dir.file(`${ioEngine}-changed.mr`)];
    const lying = dir.file(`${ioEngine}-shared.mr`);
    const options = ['--channels', '1', '--io-engine', ioEngine, '--direct-io', 'on', '--json'];
    const works: readonly (readonly [work: string, ...args: readonly string[]])[] = [
      ['save', 'pack', left, '--state', state, '--ram', `${BLOCK}=${ram}`],
      ['save of shared memory', 'pack', lying, '--state', full.state, '--ram', `${BLOCK}=${full.ram}`],
      ['save of other memory', 'pack', right, '--state', state, '--ram', `${BLOCK}=${changedRam}`],
      ['load', 'unpack', left, '--ram', `${BLOCK}=${dir.file(`${ioEngine}.ram`)}`],
      ['verify', 'verify', left],
      ['diff', 'diff', left, right],
    ];
    for (const [work, ...args] of works) {
      const { calls, stdout } = countSystemCalls([...args, ...options], log);
      const { transfer }: { readonly transfer: TransferReport } = JSON.parse(stdout);
      const { io_uring_enter: enters = 0, ...exact } = beyond(calls, base.calls);
      if (ioEngine === 'io_uring') t.is(enters, transfer.submissions ?? 0, `${work}: strace and the report`);
      found[`${work}, ${ioEngine}`] = exact;
    }
  }
  compare(t, 'systemCalls', found);
});

test('a count that grew, and a case without a limit or without a count, are named', (t) => {
  const limits = { save: { requests: 65, submissions: 130 }, load: { requests: 64 } };
  t.deepEqual(offences('transfers', limits, limits), []);
  t.deepEqual(offences('transfers', { ...limits, load: { requests: 63 } }, limits), []);
  t.deepEqual(gains('transfers', { ...limits, load: { requests: 63 } }, limits), [
    'transfers, load: requests fell from 64 to 63',
  ]);
  const words = offences('transfers', { save: { requests: 66, fsync: 1 }, diff: {} }, limits);
  t.is(words.length, 4);
  t.regex(words[0] ?? '', /^transfers, save: requests grew from 65 to 66; .*npm run counts:renew/);
  t.regex(words[1] ?? '', /^transfers, save: fsync grew from 0 to 1;/);
  t.regex(words[2] ?? '', /^transfers, diff: there is no limit;/);
  t.regex(words[3] ?? '', /^transfers, load: nothing was counted;/);
});

/** A serial test of what differs between no two machines that have what it needs; the others skip it in words. */
function countTest(title: string, lack: string | undefined, implementation: Implementation): void {
  if (lack === undefined) test.serial(title, implementation);
  else if (process.env['MAPPED_RAM_REQUIRE_QEMU'] === '1') {
    test.serial(title, (t) => t.fail(`MAPPED_RAM_REQUIRE_QEMU=1, but ${lack}`));
  } else {
    process.stderr.write(`\n*** counts: SKIPPED: ${title}: ${lack} ***\n`);
    test.serial.skip(title, implementation);
  }
}

/** The exact counts of a transfer. The one that is not exact is held to its bound here. */
function countsOf(t: ExecutionContext, name: string, report: TransferReport): Counts {
  const { ioEngine, requests = 0, directRequests = 0, requestBytes = 0, submissions = 0 } = report;
  const exact = { requests, directRequests, requestBytes };
  if (ioEngine === 'threads') return { ...exact, submissions };
  t.true(
    submissions > 0 && submissions <= MOST_ENTERS_PER_REQUEST * requests,
    `${name}: ${submissions} submissions of ${requests} requests; at most ${MOST_ENTERS_PER_REQUEST} of each request are fine`,
  );
  return exact;
}

function compare(t: ExecutionContext, part: string, found: Part): void {
  const limits = limitsOf(part, found);
  for (const words of gains(part, found, limits)) t.log(words);
  t.deepEqual(offences(part, found, limits), []);
}
