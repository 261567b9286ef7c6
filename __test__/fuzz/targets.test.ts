import test from 'ava';

import { loadCorpus } from '../../fuzz/corpus.ts';
import { Fuzzer } from '../../fuzz/fuzzer.ts';
import { loadTarget, targetNames } from '../../fuzz/target.ts';

/** The number of batches, of a hundred executions and more each. The long runs are `npm run fuzz`. */
const BATCHES = 8;

for (const name of await targetNames()) {
  test.serial(`${name}: the corpus and a thousand mutations of it find nothing`, async (t) => {
    const corpus = await loadCorpus(name);
    t.true(corpus.size > 0, `there is no fuzz/corpus/${name}`);
    const fuzzer = new Fuzzer({ target: await loadTarget(name), corpus: [...corpus.values()], seed: 1 });
    let left = BATCHES;
    const isOver = (): boolean => {
      left -= 1;
      return left < 0;
    };
    const finding = (await fuzzer.replay()) ?? (await fuzzer.run(isOver));
    if (finding !== undefined) throw finding.fault;
    t.true(fuzzer.executions >= corpus.size + BATCHES * 100);
    t.true(fuzzer.kept.length > 1 && fuzzer.covered > 0);
  });
}
