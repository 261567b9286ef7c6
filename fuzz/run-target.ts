import { ftruncateSync, openSync, writeSync } from 'node:fs';
import { parseArgs } from 'node:util';

import { loadCorpus, storeCorpus } from './corpus.ts';
import { Fuzzer } from './fuzzer.ts';
import { encodeInput, type SparseInput } from './sparse-input.ts';
import type { RunReport } from './supervise.ts';
import { loadTarget } from './target.ts';

// The program that `supervise` starts. It tries one target until the time is over, or something is found (status 3).
const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    minutes: { type: 'string', default: '1' },
    executions: { type: 'string', default: 'Infinity' },
    seed: { type: 'string', default: '1' },
    current: { type: 'string', default: '/dev/null' },
    grow: { type: 'boolean', default: false },
    targets: { type: 'string' },
  },
});
const [name = ''] = positionals;
const seed = Number(values.seed);
const started = performance.now();
const end = started + Number(values.minutes) * 60_000;
const current = openSync(values.current, 'w');
const fuzzer = new Fuzzer({
  target: await loadTarget(name, values.targets),
  corpus: [...(await loadCorpus(name)).values()],
  seed,
  onInput: note,
});
let reported = started;
const finding = (await fuzzer.replay()) ?? (await fuzzer.run(isOver));
report(performance.now());
if (values.grow) await storeCorpus(name, fuzzer.kept);
if (finding !== undefined) {
  const { input, fault } = finding;
  ftruncateSync(current);
  note(input);
  process.stderr.write(`${name}: ${fault.stack ?? fault.message}\n`);
  process.exitCode = 3;
}

/** Writes an input to the file in which the parent finds it when this process hangs or dies. */
function note(input: SparseInput): void {
  writeSync(current, encodeInput(input), 0, undefined, 0);
}

function isOver(): boolean {
  const now = performance.now();
  if (now - reported > 5000) report(now);
  return now >= end || fuzzer.executions >= Number(values.executions);
}

/** Reports progress. The report is also the sign of life that the parent waits for. */
function report(now: number): void {
  reported = now;
  const { executions, kept, covered } = fuzzer;
  const seconds = (now - started) / 1000;
  const perSecond = Math.round(executions / seconds);
  const progress: RunReport = {
    name,
    seed,
    seconds: Math.round(seconds),
    executions,
    perSecond,
    kept: kept.length,
    covered,
  };
  process.send?.(progress);
}
