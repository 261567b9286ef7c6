import { readdir, readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';

import test from 'ava';

import { temporaryDirectory } from '../support/temporary.ts';
import { CASES } from './cases.ts';
import { OLD_OPTIONS, RENAMED_MEMBERS, renamed, REWORDED, withoutAdded } from './renamed.ts';
import { type Outcome, runCases } from './run-cases.ts';
import { writeSnapshots } from './snapshots.ts';

const BEFORE = new URL('before/', import.meta.url);
const PROGRAM = fileURLToPath(new URL('../../bin/mapped-ram.mjs', import.meta.url));

/** One test takes all files: commands find what those before them wrote. */
test('the JSON of every command is what it was, but for the names in the table', async (t) => {
  await using dir = await temporaryDirectory();
  await writeSnapshots(dir);
  for (const [name, cases] of Object.entries(CASES)) {
    const text = await readFile(new URL(`${name}.json`, BEFORE), 'utf8');
    const before: readonly Outcome[] = JSON.parse(text);
    const now = await runCases(PROGRAM, cases, dir);
    t.is(now.length, before.length, name);
    for (const [place, expected] of before.entries()) {
      const json = renamed(expected.json);
      const outcome = now[place];
      const same = withoutAdded(outcome?.json, json);
      t.deepEqual({ ...outcome, json: same }, { ...expected, json }, expected.args);
    }
  }
});

test('the tables name what was there before, and nothing else', async (t) => {
  const names = await readdir(BEFORE);
  const texts = await Promise.all(names.map((name) => readFile(new URL(name, BEFORE), 'utf8')));
  const all = texts.join('');
  for (const old of Object.keys(RENAMED_MEMBERS)) t.true(all.includes(`"${old}":`), `${old} was no member`);
  for (const [old] of REWORDED) t.true(all.includes(JSON.stringify(old).slice(1, -1)), `${old} was not said`);
  for (const option of Object.keys(OLD_OPTIONS)) t.true(all.includes(`${option} `), `${option} is not used`);
});
