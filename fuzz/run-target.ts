import { openSync, writeSync } from 'node:fs';
import { parseArgs } from 'node:util';

import { loadCorpus, storeCorpus, storeFinding } from './corpus.ts';
import { Fuzzer } from './fuzzer.ts';
import { encodeInput } from './sparse-input.ts';
import { loadTarget } from './target.ts';

// A child of main.ts: tries one target until the time is over, or something is found (status 3).
const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    minutes: { type: 'string', default: '1' },
    seed: { type: 'string', default: '1' },
    current: { type: 'string', default: '/dev/null' },
    grow: { type: 'boolean', default: false },
  },
});
const [name = ''] = positionals;
const seed = Number(values.seed);
const started = performance.now();
const end = started + Number(values.minutes) * 60_000;
const current = openSync(values.current, 'w');
const corpus = await loadCorpus(name);
using fuzzer = new Fuzzer({
  target: await loadTarget(name),
  corpus: [...corpus.values()],
  seed,
  // Where the parent finds it when this process hangs or dies.
  onInput: (input) => writeSync(current, encodeInput(input), 0, undefined, 0),
});
let reported = started;
const finding =
  (await fuzzer.replay()) ??
  (await fuzzer.run(() => {
    const now = performance.now();
    if (now - reported > 5000) report((reported = now));
    return now >= end;
  }));
report(performance.now());
if (values.grow) await storeCorpus(name, fuzzer.kept);
if (finding !== undefined) {
  const path = await storeFinding(name, encodeInput(finding.input));
  process.stderr.write(
    `${name}: FOUND ${finding.fault.stack ?? finding.fault.message}\n${name}: input in ${path}\n`,
  );
  process.exitCode = 3;
}

/** Also the sign of life that the parent waits for. */
function report(now: number): void {
  const { executions, kept, covered } = fuzzer;
  const seconds = (now - started) / 1000;
  process.send?.({
    name,
    seed,
    seconds: Math.round(seconds),
    executions,
    perSecond: Math.round(executions / seconds),
    kept: kept.length,
    covered,
  });
}
