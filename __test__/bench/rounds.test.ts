import test from 'ava';

import type { Contender } from '../../ts/bench/contender.ts';
import { orderOf, runRounds, type Turn } from '../../ts/bench/rounds.ts';
import { MappedRamError } from '../../ts/errors.ts';

const SIGNAL = new AbortController().signal;

interface Steps {
  readonly log: string[];
  readonly contender: (name: string, parts?: Partial<Contender>) => Contender;
}

/** Contenders that write down what they are told to do. */
function steps(): Steps {
  const log: string[] = [];
  let turns = 0;
  return {
    log,
    contender: (name, parts) => ({
      name,
      program: 'copy',
      isReference: true,
      settings: {},
      prepare: async () => {
        log.push(`prepare ${name}`);
      },
      run: async () => {
        log.push(`run ${name}`);
        turns += 1;
        return { milliseconds: turns, bytes: 1, dataBytes: 1 };
      },
      [Symbol.asyncDispose]: async () => undefined,
      ...parts,
    }),
  };
}

test('contenders take turns in an order that changes, each prepared before its turn', async (t) => {
  const { log, contender } = steps();
  const names = ['a', 'b', 'c'];
  const options = { rounds: 5, title: 'work', countsSyscalls: true, signal: SIGNAL };
  const { figures } = await runRounds(
    names.map((name) => contender(name)),
    options,
  );
  t.is(log.length, 2 * 3 * 6);
  for (let at = 0; at < log.length; at += 2)
    t.is(log[at]?.slice('prepare '.length), log[at + 1]?.slice('run '.length));
  const order = log.filter((line) => line.startsWith('run')).map((line) => line.slice(-1));
  const rounds = [0, 3, 6, 9, 12, 15].map((from) => order.slice(from, from + 3).join(''));
  t.deepEqual(
    rounds.map((round) => Array.from(round).toSorted().join('')),
    Array.from({ length: 6 }, () => 'abc'),
  );
  t.is(new Set(rounds).size, 6);
  t.deepEqual(
    figures.map((own) => own.length),
    [5, 5, 5],
  );
  // The first three turns warm up.
  t.is(Math.min(...figures.flat().map(({ milliseconds }) => milliseconds)), 4);
  t.is(figures[0]?.[0]?.milliseconds, 4 + (rounds[1] ?? '').indexOf('a'));
});

test('over the rounds every contender is first, and last, alike often', (t) => {
  for (let count = 1; count <= 12; count += 1) {
    const all = Array.from({ length: count }, (_, index) => index);
    const orders = Array.from({ length: 2 * count }, (_, round) => orderOf(all, round));
    for (const order of orders)
      t.deepEqual(
        order.toSorted((a, b) => a - b),
        all,
      );
    const times = (one: number, at: number): number => orders.filter((order) => order.at(at) === one).length;
    for (const one of all) t.deepEqual([times(one, 0), times(one, -1)], [2, 2], `${one} of ${count}`);
  }
});

test('system calls are counted while warming up, and stand in each round', async (t) => {
  const { log, contender } = steps();
  const turns: Turn[] = [];
  const counting = contender('a', {
    countSyscalls: async () => {
      log.push('count a');
      return 42;
    },
  });
  const options = { rounds: 2, title: 'work', signal: SIGNAL, onTurn: (turn: Turn) => turns.push(turn) };
  const { figures } = await runRounds([counting, contender('b')], { ...options, countsSyscalls: true });
  t.deepEqual(log.slice(0, 4), ['prepare a', 'count a', 'prepare b', 'run b']);
  t.is(log.filter((line) => line === 'count a').length, 1);
  t.is(log.filter((line) => line === 'run a').length, 2);
  t.deepEqual(
    figures.map((own) => own.map(({ syscalls }) => syscalls)),
    [
      [42, 42],
      [undefined, undefined],
    ],
  );
  t.deepEqual(
    turns.map(({ round }) => round),
    [0, 0, 1, 1, 2, 2],
  );
  t.is(turns[0]?.milliseconds, undefined);
  log.length = 0;
  await runRounds([counting], { ...options, countsSyscalls: false });
  t.false(log.includes('count a'));
});

test('a contender that fails ends the rounds, with an error that names it', async (t) => {
  const { log, contender } = steps();
  const cause = new MappedRamError('ERR_MAPPED_RAM_IO', 'the disk is gone', { path: '/x' });
  const failing = contender('the bad one', { run: () => Promise.reject(cause) });
  const options = { rounds: 3, title: 'save, random', countsSyscalls: true, signal: SIGNAL };
  const error = await t.throwsAsync(runRounds([contender('a'), failing, contender('c')], options), {
    instanceOf: MappedRamError,
  });
  t.is(error?.code, 'ERR_MAPPED_RAM_IO');
  t.is(error?.message, 'save, random: the bad one failed: /x: the disk is gone');
  t.is(error?.cause, cause);
  t.deepEqual(log, ['prepare a', 'run a', 'prepare the bad one']);
});

test('an abort ends the rounds with its own reason, whatever the contender says', async (t) => {
  const { contender } = steps();
  const abort = new AbortController();
  const reason = new Error('enough');
  const options = { rounds: 3, title: 'work', countsSyscalls: true, signal: abort.signal };
  const aborting = contender('a', {
    run: () => {
      abort.abort(reason);
      return Promise.reject(new Error('a process is gone'));
    },
  });
  t.is(await t.throwsAsync(runRounds([aborting], options)), reason);
  const { log, contender: next } = steps();
  t.is(await t.throwsAsync(runRounds([next('b')], options)), reason);
  t.deepEqual(log, []);
});
