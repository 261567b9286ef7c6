import test from 'ava';

import { Fuzzer } from '../../fuzz/fuzzer.ts';
import { denseInput, readInput } from '../../fuzz/sparse-input.ts';
import { supervise, type RunReport } from '../../fuzz/supervise.ts';
import { loadTarget } from '../../fuzz/target.ts';

const PLANTED = new URL('planted/', import.meta.url).href;

test('what takes three bytes in a row is found by way of the code that each of them runs', async (t) => {
  const corpus = [denseInput(new Uint8Array(8))];
  const options = { target: await loadTarget('guarded', PLANTED), corpus, seed: 1 };
  const guided = new Fuzzer({ ...options, code: PLANTED });
  await guided.replay();
  const finding = await guided.run(() => guided.executions > 300_000);
  t.is(finding?.fault.message, 'planted');
  if (finding !== undefined) t.deepEqual([...readInput(finding.input, 0, 3)], [0x9a, 0x3c, 0xe1]);

  // Chance does not find it: a fuzzer that does not look at the code finds nothing in as many tries.
  const blind = new Fuzzer({ ...options, code: 'file:///nowhere/' });
  await blind.replay();
  t.is(await blind.run(() => blind.executions > guided.executions), undefined);
});

test('the same seed gives the same run', async (t) => {
  const runs: unknown[] = [];
  for (const seed of [7, 7, 8]) {
    const reports: RunReport[] = [];
    const { status, last } = await supervise({
      name: 'configuration',
      minutes: 1,
      executions: 3000,
      seed,
      onReport: (report) => reports.push(report),
    });
    t.is(status, 0);
    runs.push([Buffer.from(last).toString('hex'), reports.map((report) => resultOf(report)).at(-1)]);
  }
  const [first, second, other] = runs;
  t.deepEqual(first, second);
  t.notDeepEqual(first, other);
});

/** The findings of a run, without its speed. */
function resultOf({ executions, kept, covered }: RunReport): object {
  return { executions, kept, covered };
}

test('an input that hangs its reader is told from outside', async (t) => {
  const { status, last } = await supervise({
    name: 'endless',
    minutes: 1,
    seed: 1,
    targets: PLANTED,
    patience: 10_000,
    onReport: () => t.fail('a sign of life'),
  });
  t.is(status, 'SIGKILL');
  t.true(last.length > 0);
});
