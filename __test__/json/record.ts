import { writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';

import { temporaryDirectory } from '../support/temporary.ts';
import { CASES, DEMO } from './cases.ts';
import { OLD_OPTIONS } from './renamed.ts';
import { runCases, type Outcome } from './run-cases.ts';
import { runPlans } from './run-plans.ts';
import { writeSnapshots } from './snapshots.ts';

// Records the JSON that a built checkout prints, for later comparison. Plans are made with the installed QEMU 10.0:
// node --import=@oxc-node/core/register __test__/json/record.ts CHECKOUT
// Empty the tables in renamed.ts first if the checkout has the new names.

const [checkout = '.'] = process.argv.slice(2);
const program = join(resolve(checkout), 'bin', 'mapped-ram.mjs');

const spell = (arg: string): string => OLD_OPTIONS[arg] ?? arg;

await using dir = await temporaryDirectory();
await writeSnapshots(dir);
for (const [name, cases] of Object.entries(CASES))
  await record(name, await runCases(program, cases, dir, spell));
await record('demo', await runCases(program, DEMO, dir, spell));

await using place = await temporaryDirectory();
await record('plans', await runPlans(program, place, spell));

async function record(name: string, outcomes: readonly Outcome[]): Promise<void> {
  await writeFile(new URL(`before/${name}.json`, import.meta.url), `${JSON.stringify(outcomes, null, 1)}\n`);
}
