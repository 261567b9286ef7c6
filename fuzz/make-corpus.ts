import * as fc from 'fast-check';

import { streamModel } from '../__test__/support/stream-arbitraries.ts';
import { buildStream } from '../__test__/support/stream-builder.ts';
import { loadCorpus, storeCorpus } from './corpus.ts';
import { Fuzzer } from './fuzzer.ts';
import { cpuSeed, qemuSeeds } from './seeds.ts';
import { denseInput, withHoles, type SparseInput } from './sparse-input.ts';
import { takeApart } from './take-apart.ts';
import { loadTarget } from './target.ts';

// Adds streams to the corpus: QEMU's and those of the property tests' models, whole and in parts. Only inputs that add
// something stay, old and new alike. Needs qemu-system-x86_64 and qemu-system-aarch64.
const models = fc.sample(streamModel(), { numRuns: 200, seed: 1 }).filter(({ base }) => base === 0);
const files = [
  ...(await qemuSeeds()).map((file) => withHoles(file)),
  ...models.map((model) => withHoles(denseInput(buildStream(model).bytes))),
];
const parts = await Promise.all(files.map(async (file) => takeApart(file)));

await distil('stream-index', files);
await distil('carry', files);
await distil('devices', [...files, await cpuSeed()]);
await distil(
  'configuration',
  parts.map(({ configuration }) => configuration),
);
await distil(
  'ram',
  parts.map(({ ram }) => ram),
);
await distil(
  'full-sections',
  parts.map(({ fullSections }) => fullSections),
);
await distil(
  'find-vmdescription',
  parts.map(({ tail }) => tail),
);
await distil(
  'rewrite-vmdescription',
  parts.flatMap(({ json }) => json),
);

async function distil(name: string, inputs: readonly SparseInput[]): Promise<void> {
  const corpus = [...(await loadCorpus(name)).values(), ...inputs];
  const fuzzer = new Fuzzer({ target: await loadTarget(name), corpus, seed: 0 });
  const finding = await fuzzer.replay();
  if (finding !== undefined) throw finding.fault;
  await storeCorpus(name, fuzzer.kept);
}
